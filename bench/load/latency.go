package load

import (
	"math"
	"slices"
	"time"
)

// Latencies returns the latencies of the answers, sorted.
func (r *Result) Latencies() []time.Duration { return Latencies(r.Answers) }

// Latencies returns the latencies of answers, sorted.
func Latencies(answers []Answer) []time.Duration {
	all := make([]time.Duration, len(answers))
	for i := range answers {
		all[i] = answers[i].Latency
	}
	slices.Sort(all)
	return all
}

// Quantile returns the smallest of the sorted durations that is not exceeded by at least the share
// q of them, or 0 if there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
