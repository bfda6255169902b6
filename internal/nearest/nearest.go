// Package nearest finds the word that was meant in place of a mistyped one, for the
// "did you mean" of error messages. It decides nothing: what is not spelled exactly is
// refused.
package nearest

import "strings"

// Word returns the most similar candidate within an edit distance of a third of its length, or
// "".
func Word(word string, candidates []string) string {
	best, bestDistance := "", 1<<30
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < bestDistance && d <= max(len(c), 3)/3+1 {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance returns the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
