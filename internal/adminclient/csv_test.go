package adminclient

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzConvert turns anything into rows, or says what is wrong with it; every row
// is one line.
func FuzzConvert(f *testing.F) {
	f.Add("id,client,trId,disabled\nm-1,gateway,\"1\n2\",true\n")
	f.Add("\ufeffid\r\nx\r\n\r\n")
	f.Add("\ufeff\"id\",\"client\"\r\n\"x\",\"y\"\r\n")
	f.Add("id;client\n")
	f.Add("\xff\xfei\x00d\x00")
	f.Add("id,client\n\xe4,x\n")
	f.Fuzz(func(t *testing.T, file string) {
		var text bytes.Buffer
		out := bufio.NewWriter(&text)
		err := convertRows(&AccountRows, strings.NewReader(file), out)
		var bad *CSVError
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v is no fault of the file", err)
		}
		_ = out.Flush()
		for line := range strings.Lines(text.String()) {
			if !utf8.ValidString(line) || strings.ContainsRune(line, utf8.RuneError) && !strings.ContainsRune(file, utf8.RuneError) {
				t.Errorf("%q: a cell was changed", line)
			}
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}

// The files are as spreadsheets write them. Each is converted, or refused in one sentence
// that names what was found and what is wanted.
func TestConvertFiles(t *testing.T) {
	files := map[string]string{
		"bomquoted.csv": `{"attributes":{"trId":"12345678901"},"client":"demo-gtw01","id":"m-c12"}` + "\n",
		"case.csv":      `a column is called "ID" where "id" is wanted: write it exactly so; known are id, client, disabled and the names of attributes`,
		"semi.csv":      `the first row is "id;client;trId": columns must be separated by commas, as in id,client,disabled`,
	}
	found, err := os.ReadDir(filepath.Join("testdata", "csv"))
	if err != nil || len(found) != len(files) {
		t.Fatalf("%d files, %d rows of the table: %v", len(found), len(files), err)
	}
	for name, want := range files {
		data, err := os.ReadFile(filepath.Join("testdata", "csv", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := converted(&AccountRows, string(data)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestConvertHeaders(t *testing.T) {
	for file, want := range map[string]string{
		"id,client\nm,c\n": "{\"client\":\"c\",\"id\":\"m\"}\n",
		"\ufeffid,client\r\n\"m\n1\",\"a,\"\"b\"\r\n": "{\"client\":\"a,\\\"b\",\"id\":\"m\\n1\"}\n",
		"id\tclient\n": `the first row is "id\tclient": columns must be separated by commas, as in id,client,disabled`,
		"\ufeff\"id\";\"client\"\r\n\"m\";\"c\"\r\n": `the first row is "\"id\";\"client\"": columns must be separated by commas, as in id,client,disabled`,
		"\"id\"\t\"client\"":                         `the first row is "\"id\"\t\"client\"": columns must be separated by commas, as in id,client,disabled`,
		"":                                           "the file is empty: the first row must name the columns, as in id,client,disabled",
		"merchant,token\n":                           `the first row, "merchant,token", must name the columns, and has no id; known are id, client, disabled and the names of attributes`,
		"m-1,gateway,eu\n":                           `the first row, "m-1,gateway,eu", must name the columns, and has no id; known are id, client, disabled and the names of attributes`,
		"id,region\n":                                `the first row, "id,region", must name the columns, and has no client; known are id, client, disabled and the names of attributes`,
		"id, client\n":                               `a column is called " client" where "client" is wanted: write it exactly so; known are id, client, disabled and the names of attributes`,
		"id,client,\n":                               `a column is called "": leave out blanks and empty columns`,
		"id,client,trId,TRID\nm,c,1,2\n":             "{\"attributes\":{\"TRID\":\"2\",\"trId\":\"1\"},\"client\":\"c\",\"id\":\"m\"}\n",
		"\xff\xfei\x00d\x00":                         "the file is in UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
		"id,client,name\nm,c,B\xe4cker\n":            "line 2: name is not UTF-8: save the file as UTF-8",
	} {
		if got := converted(&AccountRows, file); got != want {
			t.Errorf("%q:\n%s\nwant\n%s", file, got, want)
		}
	}
}

// converted returns the lines, or the error.
func converted(kind *Rows, file string) string {
	var text bytes.Buffer
	if err := convertRows(kind, strings.NewReader(file), &text); err != nil {
		return err.Error()
	}
	return text.String()
}
