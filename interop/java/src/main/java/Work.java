import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONArrayUtils;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.interfaces.ECPrivateKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** A piece of a script's work, as JSON, and what the scripts have in common. */
final class Work {
    interface Step {
        Object apply(Work work) throws Exception;
    }

    private final Map<String, Object> members;

    private Work(Map<String, Object> members) {
        this.members = members;
    }

    /** Reads a JSON array from standard input, does each piece in order, and writes the array of results. */
    static void forEach(Step step) throws Exception {
        String input = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        List<Object> results = new ArrayList<>();
        for (Object piece : JSONArrayUtils.parse(input)) {
            @SuppressWarnings("unchecked")
            Map<String, Object> members = (Map<String, Object>) piece;
            results.add(step.apply(new Work(members)));
        }
        System.out.print(JSONArrayUtils.toJSONString(results));
        System.out.flush();
        System.exit(0); // threads of an HTTP client may wait for more
    }

    boolean has(String name) {
        return members.get(name) != null;
    }

    /** The member, or "" if there is none. */
    String text(String name) {
        return has(name) ? (String) members.get(name) : "";
    }

    int number(String name) {
        return has(name) ? ((Number) members.get(name)).intValue() : 0;
    }

    String auth() {
        return text("auth");
    }

    /** The audience of a client assertion: what the work says, otherwise the library's own. */
    String audience(String own) {
        return has("aud") ? text("aud") : own;
    }

    static Map<String, Object> parse(String json) throws Exception {
        return JSONObjectUtils.parse(json);
    }

    ECPrivateKey key() throws Exception {
        return (ECPrivateKey) privateKey(text("pem"));
    }

    /** The key as a JWK. Its PKCS #8 ends with the public point, uncompressed. */
    ECKey jwk() throws Exception {
        byte[] der = der(text("pem"));
        int n = der.length;
        return new ECKey.Builder(Curve.P_256, Base64URL.encode(Arrays.copyOfRange(der, n - 64, n - 32)),
                        Base64URL.encode(Arrays.copyOfRange(der, n - 32, n)))
                .privateKey(key())
                .algorithm(JWSAlgorithm.ES256)
                .keyID(text("kid"))
                .build();
    }

    private static byte[] der(String pem) {
        return Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
    }

    private static PrivateKey privateKey(String pem) throws Exception {
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der(pem)));
    }

    /** TLS that trusts the work's CA, and shows its certificate if it has one. Null without a CA. */
    SSLContext tls() throws Exception {
        if (!has("ca")) {
            return null;
        }
        CertificateFactory certificates = CertificateFactory.getInstance("X.509");
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("ca", certificates.generateCertificate(stream("ca")));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        KeyStore own = KeyStore.getInstance("PKCS12");
        own.load(null, null);
        if (has("certificate")) {
            Certificate[] chain = certificates.generateCertificates(stream("certificate")).toArray(new Certificate[0]);
            own.setKeyEntry("own", privateKey(text("certificate_key")), new char[0], chain);
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, new char[0]);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    private ByteArrayInputStream stream(String name) {
        return new ByteArrayInputStream(text(name).getBytes(StandardCharsets.UTF_8));
    }
}
