package config

import "moneyer/internal/overload"

// Overload returns the table of limits for these settings.
func (l *Limits) Overload() overload.Limits {
	limits := overload.Default()
	limits.Connections, limits.AddressConnections = l.Connections, l.AddressConnections
	limits.AddressRate = overload.Rate{PerSecond: max(l.AddressRate, 0), Burst: l.AddressBurst} // -1 means no limit
	limits.SetAtWork(l.InFlight)
	limits.RequestTime = l.RequestTimeout
	limits.ClientRate = overload.Rate{PerSecond: max(l.ClientRate, 0), Burst: l.ClientBurst}
	limits.Refusals = overload.Rate{PerSecond: l.RefusalsRecorded, Burst: l.RefusalsBurst}
	return limits
}
