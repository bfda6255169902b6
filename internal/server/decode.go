package server

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"moneyer/internal/authority"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// usualBody is for what there is room before anything has come.
const usualBody = 8 << 10

// decode reads a token request of the profile's shape. What it returns fits the
// profile: every parameter at most once, of its type and within its limits, and no
// more credentials than the largest set that the profile lists.
func (w *wire) decode(rw http.ResponseWriter, r *http.Request, limits *overload.Limits) (*authority.Request, error) {
	if r.URL.RawQuery != "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "parameters belong in the body, not in the URL")
	}
	if w.reads(r) {
		p := &parameters{wire: w, req: authority.Request{GrantType: w.grant}}
		return &p.req, p.authenticate(r.Header)
	}
	kind, err := w.bodyKind(r.Header)
	if err != nil {
		return nil, err
	}
	body, err := readBody(rw, r, limits.BodyBytes)
	if err != nil {
		return nil, err
	}
	p := &parameters{wire: w, req: authority.Request{GrantType: w.grant}}
	if kind == platform.BodyJSON {
		err = p.readJSON(body, limits.Parameters)
	} else {
		err = p.readForm(string(body), limits.Parameters)
	}
	if err == nil {
		err = p.complete()
	}
	if err == nil {
		err = p.authenticate(r.Header)
	}
	return &p.req, err
}

// reads reports whether the request has all that it says in its header.
func (w *wire) reads(r *http.Request) bool {
	return w.takesGet && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// bodyKind judges the media type. Its parameters are ignored: neither type has any (RFC 8259 §11,
// and the registration of forms), though Apache HttpClient 5 by default calls a form ISO-8859-1. Values are held to UTF-8.
func (w *wire) bodyKind(h http.Header) (kind platform.Body, err error) {
	contentType, encoding := h.Get("Content-Type"), strings.Join(h["Content-Encoding"], ", ")
	media, _, _ := strings.Cut(contentType, ";")
	switch media = strings.TrimSpace(media); {
	case strings.EqualFold(media, formType):
		kind = platform.BodyForm
	case strings.EqualFold(media, "application/json"):
		kind = platform.BodyJSON
	}
	if w.Reads(kind) && len(h["Content-Type"]) == 1 && encoding == "" {
		return kind, nil
	}
	found := "no Content-Type"
	if contentType != "" {
		found = quoted(contentType)
	}
	if len(h["Content-Type"]) > 1 {
		found += " and another Content-Type"
	}
	if encoding != "" {
		found += " and Content-Encoding " + quoted(encoding) + ", which is not read here"
	}
	return "", oauth.Errorf(oauth.UnsupportedMediaType, "the body must be %s; this one has %s", mediaTypes(w.Bodies), found)
}

// formType is the media type of a form.
const formType = "application/x-www-form-urlencoded"

// quoted is what a refusal repeats of a header: an excerpt in characters that an
// error_description may hold (RFC 6749 §5.2).
func quoted(value string) string {
	return "'" + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, registry.Excerpt(value)) + "'"
}

func mediaTypes(bodies []platform.Body) string {
	var names []string
	for _, b := range bodies {
		names = append(names, map[platform.Body]string{platform.BodyForm: formType, platform.BodyJSON: "application/json"}[b])
	}
	return strings.Join(names, " or ")
}

func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, oauth.Errorf(oauth.TooLarge, "the body is over %d bytes", most)
	}
	if 0 <= r.ContentLength && r.ContentLength <= usualBody {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, notWhole(err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, oauth.Errorf(oauth.TooLarge, "the body is over %d bytes", most)
	}
	return body, notWhole(err)
}

func notWhole(err error) error {
	if err == nil {
		return nil
	}
	return oauth.Errorf(oauth.InvalidRequest, "the body did not arrive whole").Because(err)
}

// parameters collects the parameters of one request.
type parameters struct {
	wire *wire
	req  authority.Request
	// seen has a bit for each of wire.Params that came with a value.
	seen uint64
	// Credentials that are parameters, which authenticate puts together.
	secret, assertion, assertionType string
}

// readForm reads application/x-www-form-urlencoded. Unknown parameters are
// ignored, repeated ones refused, empty ones as good as absent (RFC 6749 §3.2).
func (p *parameters) readForm(body string, most int) error {
	var usual [16]string // more names than most requests have
	names := usual[:0]
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := unescape(rawName)
		if err != nil {
			return malformed("the form is malformed")
		}
		if slices.Contains(names, name) {
			return malformed("a parameter is repeated")
		}
		if names = append(names, name); len(names) > most {
			return malformed("too many parameters")
		}
		value, err := unescape(rawValue)
		if err != nil {
			return malformed("the form is malformed")
		}
		if !utf8.ValidString(value) {
			return malformed("a value of the form is not UTF-8 (RFC 6749 appendix B)")
		}
		if err := p.takeText(name, value); err != nil {
			return err
		}
	}
	return nil
}

// unescape is url.QueryUnescape, at once where there is nothing to do.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// readJSON reads one flat object.
func (p *parameters) readJSON(body []byte, most int) error {
	err := strictjson.Object(body, strictjson.Limits{Depth: 4, Members: most}, func(name string, v strictjson.Value) error {
		param := p.wire.Param(name)
		if param == nil {
			if p.wire.UnknownMembers == platform.UnknownRefuse {
				return malformed("the body has a member that is not known here")
			}
			return nil
		}
		if param.Type == platform.TypeStrings {
			list, err := v.Texts()
			if err != nil {
				return malformed("%s must be an array of strings", param.Name)
			}
			return p.takeList(param, list)
		}
		text, err := v.Text()
		if err != nil {
			return malformed("%s must be a string", param.Name)
		}
		return p.takeText(name, text)
	})
	var refusal *oauth.Error
	if err != nil && !errors.As(err, &refusal) {
		return oauth.Errorf(oauth.InvalidRequest, "the body is not one well-formed JSON object").Because(err)
	}
	return err
}

func malformed(format string, args ...any) error {
	return oauth.Errorf(oauth.InvalidRequest, format, args...)
}

func (p *parameters) takeText(name, value string) error {
	i := slices.IndexFunc(p.wire.Params, func(param platform.Param) bool { return param.Name == name })
	if i < 0 || value == "" {
		return nil
	}
	param := &p.wire.Params[i]
	if err := fits(param, value); err != nil {
		return err
	}
	p.seen |= 1 << i
	switch param.Means {
	case platform.MeansGrantType:
		p.req.GrantType = oauth.GrantType(value)
	case platform.MeansAssertion:
		p.req.Assertion = value
	case platform.MeansScope:
		p.req.Scope = value
	case platform.MeansClientID:
		p.req.ClientID = value
	case platform.MeansClientSecret:
		p.secret = value
	case platform.MeansClientAssertion:
		p.assertion = value
	case platform.MeansClientAssertionType:
		p.assertionType = value
	default:
		p.req.Params = append(p.req.Params, authority.Param{Name: name, Value: registry.Attribute{Text: value}})
	}
	return nil
}

func (p *parameters) takeList(param *platform.Param, list []string) error {
	if err := fits(param, list...); err != nil {
		return err
	}
	i := slices.IndexFunc(p.wire.Params, func(other platform.Param) bool { return other.Name == param.Name })
	p.seen |= 1 << i
	p.req.Params = append(p.req.Params, authority.Param{Name: param.Name, Value: registry.Attribute{List: list, IsList: true}})
	return nil
}

// fits refuses values that the parameter may not hold.
func fits(param *platform.Param, values ...string) error {
	switch param.Fault(values...) {
	case "":
		return nil
	case platform.WrongCount:
		return malformed("%s must have 1 to %d items", param.Name, param.MaxItems)
	case platform.Empty, platform.Repeated:
		return malformed("the items of %s must be distinct and not empty", param.Name)
	case platform.TooLong:
		return malformed("%s is longer than %d characters", param.Name, param.MaxLength)
	case platform.BadChars:
		return malformed("%s holds a character that is not allowed", param.Name)
	default:
		return malformed("%s is none of the values that are known here", param.Name)
	}
}

// complete looks for required parameters that did not come.
func (p *parameters) complete() error {
	for i := range p.wire.Params {
		if param := &p.wire.Params[i]; param.Required && p.seen&(1<<i) == 0 {
			return malformed("%s is missing", param.Name)
		}
	}
	if p.req.GrantType == "" {
		return malformed("grant_type is missing")
	}
	return nil
}
