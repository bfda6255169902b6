package load

import (
	"math"
	"slices"
	"time"
)

// Latencies of the answers, in rising order.
func (r *Result) Latencies() []time.Duration { return Latencies(r.Answers) }

// Latencies of answers, in rising order.
func Latencies(answers []Answer) []time.Duration {
	all := make([]time.Duration, len(answers))
	for i := range answers {
		all[i] = answers[i].Latency
	}
	slices.Sort(all)
	return all
}

// Quantile of durations in rising order: the least that at least the share q of
// them do not exceed. Of none it is 0.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
