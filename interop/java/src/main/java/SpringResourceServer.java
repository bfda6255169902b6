import java.time.Clock;
import java.time.Duration;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtDecoders;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;

/**
 * Verifies access tokens as a resource server with Spring Security does: with its rules for RFC 9068, or, if no key set
 * is given, with what issuer-uri alone sets up.
 */
final class SpringResourceServer {
    public static void main(String[] args) throws Exception {
        Work.forEach(work -> {
            try {
                decoder(work).decode(work.text("token"));
                return "";
            } catch (JwtException refused) {
                return refused.getMessage();
            }
        });
    }

    static JwtDecoder decoder(Work work) {
        if (!work.has("jwks_uri") || work.text("jwks_uri").isEmpty()) {
            return JwtDecoders.fromIssuerLocation(work.text("issuer"));
        }
        NimbusJwtDecoder decoder = NimbusJwtDecoder.withJwkSetUri(work.text("jwks_uri"))
                .jwsAlgorithm(SignatureAlgorithm.from(work.text("alg")))
                .validateType(false) // the validators do
                .build();
        JwtTimestampValidator time = new JwtTimestampValidator(Duration.ZERO);
        time.setClock(Clock.offset(Clock.systemUTC(), Duration.ofSeconds(work.number("ahead"))));
        OAuth2TokenValidator<Jwt> claims =
                JwtValidators.createAtJwtValidator().issuer(work.text("issuer")).audience(work.text("audience")).build();
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(time, claims));
        return decoder;
    }
}
