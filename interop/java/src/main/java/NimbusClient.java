import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.oauth2.sdk.AuthorizationGrant;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.JWTBearerGrant;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.as.AuthorizationServerMetadata;
import com.nimbusds.oauth2.sdk.auth.ClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.ClientSecretPost;
import com.nimbusds.oauth2.sdk.auth.JWTAuthenticationClaimsSet;
import com.nimbusds.oauth2.sdk.auth.PKITLSClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.PrivateKeyJWT;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.auth.SelfSignedTLSClientAuthentication;
import com.nimbusds.oauth2.sdk.http.HTTPRequest;
import com.nimbusds.oauth2.sdk.http.HTTPRequestConfigurator;
import com.nimbusds.oauth2.sdk.id.Audience;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.id.Issuer;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import com.nimbusds.openid.connect.sdk.op.OIDCProviderMetadata;
import java.net.URI;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.net.ssl.SSLSocketFactory;

/** Fetches tokens with the OAuth 2.0 SDK of Nimbus, including discovery. */
final class NimbusClient {
    public static void main(String[] args) throws Exception {
        Work.forEach(NimbusClient::fetch);
    }

    static Object fetch(Work work) throws Exception {
        Issuer issuer = new Issuer(work.text("issuer"));
        SSLSocketFactory tls = work.has("ca") ? work.tls().getSocketFactory() : null;
        HTTPRequestConfigurator trusting = request -> request.setSSLSocketFactory(tls);
        AuthorizationServerMetadata metadata = work.text("discovery").equals("oidc")
                ? OIDCProviderMetadata.resolve(issuer, trusting)
                : AuthorizationServerMetadata.resolve(issuer, trusting);
        URI endpoint = work.has("certificate")
                ? metadata.getMtlsEndpointAliases().getTokenEndpointURI()
                : metadata.getTokenEndpointURI();
        ClientID id = new ClientID(work.text("client_id"));
        AuthorizationGrant grant = work.has("assertion")
                ? new JWTBearerGrant(SignedJWT.parse(work.text("assertion")))
                : new ClientCredentialsGrant();
        ClientAuthentication auth = authentication(work, id, endpoint);
        TokenRequest.Builder request = auth == null
                ? new TokenRequest.Builder(endpoint, id, grant)
                : new TokenRequest.Builder(endpoint, auth, grant);
        if (work.has("scope")) {
            request.scope(Scope.parse(work.text("scope")));
        }
        HTTPRequest http = request.build().toHTTPRequest();
        http.setSSLSocketFactory(tls);
        TokenResponse response = TokenResponse.parse(http.send());
        if (!response.indicatesSuccess()) {
            return Map.of("error", response.toErrorResponse().getErrorObject().getCode());
        }
        AccessToken token = response.toSuccessResponse().getTokens().getAccessToken();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("access_token", token.getValue());
        result.put("token_type", token.getType().getValue());
        result.put("expires_in", token.getLifetime());
        result.put("scope", token.getScope() == null ? "" : token.getScope().toString());
        return result;
    }

    static ClientAuthentication authentication(Work work, ClientID id, URI endpoint) throws Exception {
        switch (work.auth()) {
            case "client_secret_basic":
                return new ClientSecretBasic(id, new Secret(work.text("secret")));
            case "client_secret_post":
                return new ClientSecretPost(id, new Secret(work.text("secret")));
            case "private_key_jwt":
                JWTAuthenticationClaimsSet claims = new JWTAuthenticationClaimsSet(id, new Audience(work.audience(endpoint.toString())));
                return new PrivateKeyJWT(claims, JWSAlgorithm.parse(work.text("alg")), work.key(), work.has("kid") ? work.text("kid") : null, null);
            case "tls_client_auth":
                return new PKITLSClientAuthentication(id, work.tls().getSocketFactory());
            case "self_signed_tls_client_auth":
                return new SelfSignedTLSClientAuthentication(id, work.tls().getSocketFactory());
            default:
                return null;
        }
    }
}
