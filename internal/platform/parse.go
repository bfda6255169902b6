package platform

import "moneyer/internal/stricttoml"

// Parse reads and checks a profile. Errors name the line of the file called
// name, what is wrong there and what would be right.
func Parse(name string, source []byte) (*Profile, error) {
	p := &Profile{}
	doc, err := stricttoml.Decode(name, source, p)
	if err != nil {
		return nil, err
	}
	p.setDefaults()
	if err := p.check(doc); err != nil {
		return nil, err
	}
	return p, nil
}
