package adminclient

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzConvert turns anything into rows, or says what is wrong with it; every row
// is one line.
func FuzzConvert(f *testing.F) {
	f.Add("id,client,trId,disabled\nm-1,gateway,\"1\n2\",true\n")
	f.Add("\ufeffid\r\nx\r\n\r\n")
	f.Fuzz(func(t *testing.T, file string) {
		var text bytes.Buffer
		out := bufio.NewWriter(&text)
		err := convertRows(&AccountRows, csv.NewReader(strings.NewReader(file)), out)
		var bad *CSVError
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v is no fault of the file", err)
		}
		_ = out.Flush()
		for line := range strings.Lines(text.String()) {
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}
