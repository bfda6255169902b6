package trial

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// figure formats a number with three significant digits and thousands separators.
func figure(f float64) string {
	size := math.Abs(f)
	switch {
	case size == 0 || math.IsNaN(f) || math.IsInf(f, 0):
		return strings.TrimSuffix(fmt.Sprint(f), ".0")
	case size < 1:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case size < 10:
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 2, 64), ".00")
	case size < 100:
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
	}
	digits := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// spread formats the median with minimum and maximum.
func spread(s Spread) string {
	if s.Min == s.Max {
		return figure(s.Median)
	}
	return fmt.Sprintf("%s (%s – %s)", figure(s.Median), figure(s.Min), figure(s.Max))
}

// milliseconds formats a spread in microseconds as milliseconds.
func milliseconds(s Spread) string { return figure(s.Median / 1000) }

func percent(s Spread) string {
	if s.Min == s.Max {
		return fmt.Sprintf("%.0f %%", 100*s.Median)
	}
	return fmt.Sprintf("%.0f %% (%.0f – %.0f)", 100*s.Median, 100*s.Min, 100*s.Max)
}

// cut makes text fit into a table cell.
func cut(text string) string {
	const most = 160
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
