package subject

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestStartInherits(t *testing.T) {
	cores, err := Cores()
	if err != nil || len(cores) == 0 {
		t.Fatal(cores, err)
	}
	last := cores[len(cores)-1]
	var out strings.Builder
	child := exec.CommandContext(t.Context(), "sh", "-c", "grep Cpus_allowed_list /proc/self/status")
	child.Stdout = &out
	if err := StartOn(child, last); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := "Cpus_allowed_list:\t" + strconv.Itoa(last) + "\n"; out.String() != want {
		t.Errorf("the child may run on %q, want %q", out.String(), want)
	}
	if after, err := Cores(); err != nil || !slices.Equal(after, cores) {
		t.Errorf("afterwards this process may run on %v (%v), before on %v", after, err, cores)
	}
}
