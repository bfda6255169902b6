// Package pin keeps programs on chosen processor cores, so that a server and
// what asks it do not take each other's time.
//
// It measures nothing. It works on Linux alone; elsewhere every call is
// [errors.ErrUnsupported].
package pin
