package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// The names of the output files.
const (
	markdownFile = "README.md"
	jsonFile     = "results.json"
)

// Write writes the report into a folder: Markdown, JSON, and the pictures.
func (r *Report) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	write := func(name string, fill func(io.Writer) error) error {
		var b bytes.Buffer
		if err := fill(&b); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o644)
	}
	return errors.Join(
		write(markdownFile, func(w io.Writer) error { return r.Markdown(w, peersFile, ceilingFile, connectionsFile) }),
		write(jsonFile, r.JSON),
		write(peersFile, r.PeersPicture),
		write(ceilingFile, r.CeilingPicture),
		write(connectionsFile, r.ConnectionsPicture),
	)
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
