// Package engine defines the interface between the store and a database: [Engine] and
// [Session], which the packages sqlite and postgres implement, and the values that they
// exchange.
//
// It contains no SQL of either database and nothing about the registry: package store
// decides what is written, and when.
package engine
