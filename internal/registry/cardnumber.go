package registry

import "strconv"

// A card number (PAN) must be neither stored nor logged (PCI DSS 4.0, requirement 3). It has
// the form of ISO/IEC 7812-1: 13 to 19 digits, of which the first name the card scheme and
// the last is a check digit.

// cardRanges are the beginnings of the schemes' numbers, four digits each, and the
// lengths of their numbers.
var cardRanges = []struct{ first, last, shortest, longest int }{
	{1000, 1999, 15, 15}, // UATP
	{2200, 2204, 16, 19}, // Mir
	{2221, 2720, 16, 16}, // Mastercard
	{3000, 3059, 14, 19}, // Diners Club
	{3095, 3095, 14, 19},
	{3400, 3499, 15, 15}, // American Express
	{3528, 3589, 16, 19}, // JCB
	{3600, 3699, 14, 19}, // Diners Club
	{3700, 3799, 15, 15}, // American Express
	{3800, 3999, 14, 19}, // Diners Club
	{4000, 4999, 13, 19}, // Visa
	{5000, 6999, 13, 19}, // Mastercard, Maestro, Discover, UnionPay, RuPay, Elo, Verve
	{8100, 8299, 16, 19}, // UnionPay, RuPay
	{9792, 9792, 16, 16}, // Troy
}

// longestCardNumber is the length of the longest number in groups.
const longestCardNumber = 19 + 4

// cardGroups are the groups in which a number is printed on a card.
var cardGroups = [][]int{{4, 4, 4, 4}, {4, 4, 4, 4, 3}, {4, 6, 5}, {4, 6, 4}}

// IsCardNumber reports whether s has the form of a card number.
func IsCardNumber(s string) bool { return s != "" && cardNumberAt(s) == len(s) }

// MaskCardNumbers returns s with each card number masked but for its first six and last
// four digits, which may be shown (PCI DSS 4.0, requirement 3.4.1).
func MaskCardNumbers(s string) string {
	const shortest = 13
	for at := 0; len(s)-at >= shortest; {
		if !isDigit(s[at]) {
			at++
			continue
		}
		n := cardNumberAt(s[at:])
		if n > 0 {
			s = s[:at] + masked(s[at:at+n]) + s[at+n:]
		} else {
			n = digits(s[at:])
		}
		at += n
	}
	return s
}

// cardNumberAt returns the length of the card number at the beginning of s, or 0.
func cardNumberAt(s string) int {
	n := digits(s)
	if inCardRange(s[:n]) && checkDigitFits(s[:n]) {
		return n
	}
	for _, groups := range cardGroups {
		if number, n := grouped(s, groups); inCardRange(number) && checkDigitFits(number) {
			return n
		}
	}
	return 0
}

// grouped returns the digits and the length of a number at the beginning of s that is
// written in these groups, with a space or a hyphen between them; "" if there is none.
func grouped(s string, groups []int) (number string, n int) {
	for i, size := range groups {
		if i > 0 {
			if n == len(s) || s[n] != ' ' && s[n] != '-' {
				return "", 0
			}
			n++
		}
		if digits(s[n:]) != size {
			return "", 0
		}
		number += s[n : n+size]
		n += size
	}
	return number, n
}

// inCardRange reports whether digits are a number of a card scheme, by their beginning
// and their count.
func inCardRange(digits string) bool {
	if len(digits) < 4 {
		return false
	}
	first, _ := strconv.Atoi(digits[:4])
	for _, r := range cardRanges {
		if r.first <= first && first <= r.last && r.shortest <= len(digits) && len(digits) <= r.longest {
			return true
		}
	}
	return false
}

// checkDigitFits reports whether the last digit is the check digit of the others (ISO/IEC
// 7812-1 annex B, the Luhn algorithm).
func checkDigitFits(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}

// masked replaces the digits of a number but for the first six and the last four.
func masked(number string) string {
	out, seen, all := []byte(number), 0, 0
	for i := range out {
		if isDigit(out[i]) {
			all++
		}
	}
	for i := range out {
		if !isDigit(out[i]) {
			continue
		}
		if seen++; seen > 6 && seen <= all-4 {
			out[i] = '*'
		}
	}
	return string(out)
}

// digits returns how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
