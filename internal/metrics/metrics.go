// Package metrics counts requests for Prometheus.
//
// Labels are issuers and error codes only: nothing that a caller chooses, and nothing that
// identifies a caller. Only this package imports the Prometheus library.
package metrics

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"moneyer/internal/overload"
	"moneyer/oauth"
)

// Metrics are the counters of one process.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	audience *prometheus.CounterVec
	outcomes sync.Map // outcome -> *measured, which saves looking up the labels
}

// outcome is the key by which requests are counted.
type outcome struct {
	issuer, endpoint string
	code             oauth.Code
}

// measured holds the metrics of one outcome.
type measured struct {
	requests prometheus.Counter
	took     prometheus.Observer
}

// New creates the metrics. signer is the library that signs tokens. The functions are called at each scrape: inFlight returns the requests
// in flight, storeUp reports whether the store accepts writes, and staleness returns the time since
// changes by other replicas were last received.
func New(version, signer string, inFlight func() int64, storeUp func() bool, staleness func() time.Duration) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "moneyer_requests_total",
			Help: "Requests by issuer, endpoint (token, revoke, introspect, check, revocations) and outcome: granted, or the error code of the refusal.",
		}, []string{"issuer", "endpoint", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "moneyer_request_seconds",
			Help:    "Time from the header of a request to its response, by issuer, endpoint and whether it was granted.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2},
		}, []string{"issuer", "endpoint", "granted"}),
		audience: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "moneyer_endpoint_audience_total",
			Help: "Clients authenticated by a JWT whose aud is the token endpoint, as client_assertion_audience lets them until they send the issuer identifier, by issuer.",
		}, []string{"issuer"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "moneyer_build_info", Help: "Always 1; the labels are the version and the library that signs tokens."}, []string{"version", "signer"})
	build.WithLabelValues(version, signer).Set(1)
	m.registry.MustRegister(m.requests, m.took, m.audience, build,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "moneyer_requests_in_flight", Help: "Requests at the endpoints of the public listener in flight."},
			func() float64 { return float64(inFlight()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "moneyer_store_silence_seconds",
			Help: "Seconds since changes by other replicas were last received; above 1 cached state is not used. 0 with a store of one process."},
			func() float64 { return staleness().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "moneyer_store_up", Help: "1 if the store accepts writes, else 0."},
			func() float64 {
				if storeUp() {
					return 1
				}
				return 0
			}),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Connections counts those of a listener. The function is called at each scrape.
func (m *Metrics) Connections(listener string, counts func() overload.ConnectionCounts) {
	label := prometheus.Labels{"listener": listener}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "moneyer_connections", Help: "Open connections by listener.", ConstLabels: label},
			func() float64 { return float64(counts().Open) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "moneyer_connections_closed_waiting_total",
			Help: "Connections that were closed while they waited for a request, because connections were scarce.", ConstLabels: label},
			func() float64 { return float64(counts().Closed) }),
		prometheus.NewCounterFunc(refusedConnections(label, "address"), func() float64 { return float64(counts().AddressRefused) }),
		prometheus.NewCounterFunc(refusedConnections(label, "total"), func() float64 { return float64(counts().TotalRefused) }))
}

func refusedConnections(label prometheus.Labels, reason string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Name: "moneyer_connections_refused_total",
		Help:        "Connections that were closed when they were accepted: the address had its share (address), or there were too many in all (total).",
		ConstLabels: prometheus.Labels{"listener": label["listener"], "reason": reason}}
}

// Request counts one request at an endpoint; code is "" if it was granted.
func (m *Metrics) Request(issuer, endpoint string, code oauth.Code, took time.Duration) {
	key := outcome{issuer, endpoint, code}
	found, ok := m.outcomes.Load(key)
	if !ok {
		found, _ = m.outcomes.LoadOrStore(key, m.measured(key))
	}
	of, _ := found.(*measured) // nothing else is stored
	of.requests.Inc()
	of.took.Observe(took.Seconds())
}

// EndpointAudience counts one use of the token endpoint as the aud of client authentication.
func (m *Metrics) EndpointAudience(issuer string) { m.audience.WithLabelValues(issuer).Inc() }

func (m *Metrics) measured(key outcome) *measured {
	name, granted := string(key.code), "no"
	if key.code == "" {
		name, granted = "granted", "yes"
	}
	return &measured{m.requests.WithLabelValues(key.issuer, key.endpoint, name), m.took.WithLabelValues(key.issuer, key.endpoint, granted)}
}

// maxScrapes is how many scrapes are answered at once; more get 503.
const maxScrapes = 4

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: maxScrapes})
}
