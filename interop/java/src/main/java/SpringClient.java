import java.net.http.HttpClient;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import javax.net.ssl.HttpsURLConnection;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.http.converter.FormHttpMessageConverter;
import org.springframework.security.oauth2.client.endpoint.AbstractOAuth2AuthorizationGrantRequest;
import org.springframework.security.oauth2.client.endpoint.AbstractRestClientOAuth2AccessTokenResponseClient;
import org.springframework.security.oauth2.client.endpoint.JwtBearerGrantRequest;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.endpoint.RestClientJwtBearerTokenResponseClient;
import org.springframework.security.oauth2.client.http.OAuth2ErrorResponseErrorHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrations;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.OAuth2AuthorizationException;
import org.springframework.security.oauth2.core.endpoint.OAuth2AccessTokenResponse;
import org.springframework.security.oauth2.core.http.converter.OAuth2AccessTokenResponseHttpMessageConverter;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.client.RestClient;
import org.springframework.web.client.RestClientResponseException;

/** Fetches tokens with Spring Security, which finds the server by issuer-uri. */
final class SpringClient {
    public static void main(String[] args) throws Exception {
        Work.forEach(SpringClient::fetch);
    }

    static Object fetch(Work work) throws Exception {
        try {
            return result(ask(work, registration(work)));
        } catch (OAuth2AuthorizationException refused) {
            // Spring reads the error of a 400 alone; that of a 401 is in the cause.
            return refused.getCause() instanceof RestClientResponseException response
                    ? Work.parse(response.getResponseBodyAsString())
                    : Map.of("error", refused.getError().getErrorCode());
        }
    }

    static ClientRegistration registration(Work work) throws Exception {
        if (work.has("ca")) { // Spring's discovery cannot be given another TLS
            HttpsURLConnection.setDefaultSSLSocketFactory(work.tls().getSocketFactory());
        }
        String issuer = work.text("issuer");
        ClientRegistration.Builder found = work.text("discovery").equals("oidc")
                ? ClientRegistrations.fromOidcIssuerLocation(issuer)
                : ClientRegistrations.fromIssuerLocation(issuer); // tries OpenID's path first
        if (work.has("certificate")) {
            Map<?, ?> aliases = (Map<?, ?>) found.registrationId("-").clientId("-").authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
                    .build().getProviderDetails().getConfigurationMetadata().get("mtls_endpoint_aliases");
            found.tokenUri((String) aliases.get("token_endpoint"));
        }
        return found.registrationId("moneyer")
                .clientId(work.text("client_id"))
                .clientSecret(work.text("secret"))
                .clientAuthenticationMethod(new ClientAuthenticationMethod(work.auth()))
                .authorizationGrantType(work.has("assertion") ? AuthorizationGrantType.JWT_BEARER : AuthorizationGrantType.CLIENT_CREDENTIALS)
                .scope(work.has("scope") ? work.text("scope").split(" ") : new String[0])
                .build();
    }

    static OAuth2AccessTokenResponse ask(Work work, ClientRegistration registration) throws Exception {
        if (work.has("assertion")) {
            Jwt assertion = Jwt.withTokenValue(work.text("assertion")).header("alg", "ES256").claim("sub", "-").build();
            return with(work, new RestClientJwtBearerTokenResponseClient()).getTokenResponse(new JwtBearerGrantRequest(registration, assertion));
        }
        return with(work, new RestClientClientCredentialsTokenResponseClient()).getTokenResponse(new OAuth2ClientCredentialsGrantRequest(registration));
    }

    /** Adds what Spring's users add for private_key_jwt. By itself Spring sends the token endpoint as aud. */
    static <T extends AbstractOAuth2AuthorizationGrantRequest, C extends AbstractRestClientOAuth2AccessTokenResponseClient<T>> C with(Work work, C client)
            throws Exception {
        if (work.has("ca")) {
            HttpClient tls = HttpClient.newBuilder().sslContext(work.tls()).build();
            client.setRestClient(RestClient.builder()
                    .requestFactory(new JdkClientHttpRequestFactory(tls))
                    .configureMessageConverters(converters -> converters
                            .addCustomConverter(new FormHttpMessageConverter())
                            .addCustomConverter(new OAuth2AccessTokenResponseHttpMessageConverter()))
                    .defaultStatusHandler(new OAuth2ErrorResponseErrorHandler())
                    .build());
        }
        NimbusJwtClientAuthenticationParametersConverter<T> assertions = new NimbusJwtClientAuthenticationParametersConverter<>(registration -> {
            try {
                return work.jwk();
            } catch (Exception err) {
                throw new IllegalStateException(err);
            }
        });
        if (work.has("aud")) {
            assertions.setJwtClientAssertionCustomizer(context -> context.getClaims().audience(List.of(work.text("aud"))));
        }
        client.addParametersConverter(assertions);
        return client;
    }

    static Object result(OAuth2AccessTokenResponse response) {
        var token = response.getAccessToken();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("access_token", token.getTokenValue());
        result.put("token_type", token.getTokenType().getValue());
        result.put("expires_in", Duration.between(token.getIssuedAt(), token.getExpiresAt()).toSeconds());
        result.put("scope", String.join(" ", new TreeSet<>(token.getScopes()))); // Spring's set has no order
        return result;
    }
}
