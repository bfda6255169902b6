package overload

import (
	"math"
	"strings"
	"testing"
)

// TestFitDescriptors: the connections of both listeners and the reserve fit into the descriptors.
func TestFitDescriptors(t *testing.T) {
	for _, c := range []struct {
		descriptors uint64
		set, want   int // connections; 0 for an error
	}{
		{1 << 20, 0, 10_000}, {math.MaxUint64, 0, 10_000}, {1024, 0, 704}, {256, 0, 128}, {100, 0, 0}, {0, 0, 0},
		{1024, 704, 704}, {1024, 705, 0}, {1 << 20, 50_000, 50_000},
	} {
		l := Default()
		l.Connections = c.set
		err := l.FitDescriptors(c.descriptors)
		switch {
		case c.want == 0:
			if err == nil || !strings.Contains(err.Error(), "LimitNOFILE") {
				t.Errorf("%d connections with %d descriptors: %v", c.set, c.descriptors, err)
			}
		case err != nil || l.Connections != c.want:
			t.Errorf("%d connections with %d descriptors: %d, %v; want %d", c.set, c.descriptors, l.Connections, err, c.want)
		case uint64(l.Connections+l.AdminConnections) >= c.descriptors:
			t.Errorf("%d connections with %d descriptors leave none", l.Connections, c.descriptors)
		}
	}
}
