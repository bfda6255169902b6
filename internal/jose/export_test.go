package jose

// SignInput signs input as it is, whatever header it has.
func SignInput(s *Signer, input []byte) ([]byte, error) { return s.signature(nil, input) }
