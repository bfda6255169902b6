package bench;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.List;
import java.util.Map;

import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONObjectUtils;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.server.authorization.client.InMemoryRegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.settings.AuthorizationServerSettings;
import org.springframework.security.oauth2.server.authorization.settings.ClientSettings;
import org.springframework.security.oauth2.server.authorization.token.JwtEncodingContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenCustomizer;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * Spring Authorization Server with its defaults: everything in memory, Tomcat. Its argument is a
 * configuration like those of the other small servers. The client's key set is served here, too,
 * because Spring takes it from a URL only.
 */
@SpringBootApplication
@RestController
public class Server {
    private static final String CLIENT_KEYS = "/client-keys";

    private static Map<String, Object> config;

    public static void main(String[] args) throws Exception {
        config = JSONObjectUtils.parse(Files.readString(Path.of(args[0])));
        String[] listen = text("listen").split(":");
        SpringApplication.run(Server.class, "--server.address=" + listen[0], "--server.port=" + listen[1],
                "--logging.level.root=warn", "--spring.main.banner-mode=off");
    }

    private static String text(String name) {
        return (String) config.get(name);
    }

    @Bean
    AuthorizationServerSettings settings() {
        return AuthorizationServerSettings.builder().issuer(text("issuer")).build();
    }

    @Bean
    JWKSource<SecurityContext> keys() throws Exception {
        Map<String, Object> key = JSONObjectUtils.getJSONObjectArray(config, "signing_keys")[0];
        return new ImmutableJWKSet<>(new JWKSet(JWK.parse(key)));
    }

    /** Its own is RS256. */
    @Bean
    OAuth2TokenCustomizer<JwtEncodingContext> algorithm() {
        return context -> context.getJwsHeader().algorithm(SignatureAlgorithm.ES256);
    }

    @Bean
    RegisteredClientRepository clients() {
        RegisteredClient bySecret = RegisteredClient.withId("1").clientId(text("client_id")).clientSecret(text("client_secret"))
                .clientAuthenticationMethod(ClientAuthenticationMethod.CLIENT_SECRET_POST)
                .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS).build();
        RegisteredClient byKey = RegisteredClient.withId("2").clientId(text("key_client_id"))
                .clientAuthenticationMethod(ClientAuthenticationMethod.PRIVATE_KEY_JWT)
                .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
                .clientSettings(ClientSettings.builder().jwkSetUrl(text("issuer") + CLIENT_KEYS)
                        .tokenEndpointAuthenticationSigningAlgorithm(SignatureAlgorithm.ES256).build())
                .build();
        return new InMemoryRegisteredClientRepository(List.of(bySecret, byKey));
    }

    /** The secret has 256 random bits: its own, bcrypt, would be most of the cost. */
    @Bean
    PasswordEncoder secrets() {
        return new PasswordEncoder() {
            @Override
            public String encode(CharSequence secret) {
                return secret.toString();
            }

            @Override
            public boolean matches(CharSequence secret, String kept) {
                return MessageDigest.isEqual(encode(secret).getBytes(StandardCharsets.UTF_8), kept.getBytes(StandardCharsets.UTF_8));
            }
        };
    }

    @Bean
    @Order(1)
    SecurityFilterChain oauth2(HttpSecurity http) throws Exception {
        return http.oauth2AuthorizationServer(server -> http.securityMatcher(server.getEndpointsMatcher())).build();
    }

    @Bean
    @Order(2)
    SecurityFilterChain others(HttpSecurity http) throws Exception {
        return http.authorizeHttpRequests(requests -> requests.requestMatchers(CLIENT_KEYS).permitAll().anyRequest().denyAll()).build();
    }

    @GetMapping(CLIENT_KEYS)
    Map<String, Object> clientKeys() {
        return Map.of("keys", List.of(config.get("client_key")));
    }
}
