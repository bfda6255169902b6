package moneyer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// liveHeap returns the live heap of a server after its last collection, in bytes, from its metrics.
func liveHeap(ctx context.Context, metrics string) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metrics, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", metrics, response.Status)
	}
	return heapOf(response.Body)
}

// heapOf computes the live heap from the heap's size at which Go starts the next collection, which
// is the live heap and GOGC percent more of it and of the stacks (go.dev/doc/gc-guide), so the result is too
// large by at most the stacks.
func heapOf(metrics io.Reader) (int64, error) {
	var next, percent float64
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		into := map[string]*float64{"go_memstats_next_gc_bytes": &next, "go_gc_gogc_percent": &percent}[name]
		if into == nil {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("the metric %s: %w", name, err)
		}
		*into = number
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if next == 0 || percent <= 0 {
		return 0, errors.New("the metrics have no go_memstats_next_gc_bytes or go_gc_gogc_percent")
	}
	return int64(next / (1 + percent/100)), nil
}
