package jose

// SignInput signs input unchanged, whatever its header says.
func SignInput(s *Signer, input []byte) ([]byte, error) { return s.signature(nil, input) }
