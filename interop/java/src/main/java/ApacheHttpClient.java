import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.entity.UrlEncodedFormEntity;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManagerBuilder;
import org.apache.hc.client5.http.ssl.DefaultClientTlsStrategy;
import org.apache.hc.core5.http.NameValuePair;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.http.message.BasicNameValuePair;

/** Fetches tokens with Apache HttpClient alone, as partners without an OAuth library do. */
final class ApacheHttpClient {
    public static void main(String[] args) throws Exception {
        Work.forEach(ApacheHttpClient::fetch);
    }

    static Object fetch(Work work) throws Exception {
        List<NameValuePair> form = new ArrayList<>();
        add(form, "grant_type", work.has("assertion") ? work.text("grant_type") : "client_credentials");
        for (String name : List.of("assertion", "scope")) {
            if (work.has(name)) {
                add(form, name, work.text(name));
            }
        }
        HttpPost post = new HttpPost(work.text("token_endpoint"));
        post.setHeader("Accept", "application/json");
        switch (work.auth()) {
            case "client_secret_basic": // the parts are form-encoded first (RFC 6749 section 2.3.1)
                post.setHeader("Authorization", basic(work.text("client_id"), work.text("secret")));
                break;
            case "client_secret_post":
                add(form, "client_secret", work.text("secret")); // and the id
            default:
                add(form, "client_id", work.text("client_id"));
        }
        post.setEntity(new UrlEncodedFormEntity(form));
        try (CloseableHttpClient client = client(work)) {
            return client.execute(post, response -> {
                try {
                    return Work.parse(EntityUtils.toString(response.getEntity()));
                } catch (Exception err) {
                    return Map.of("error", response.getCode() + ": " + err);
                }
            });
        }
    }

    static CloseableHttpClient client(Work work) throws Exception {
        var connections = PoolingHttpClientConnectionManagerBuilder.create();
        if (work.tls() != null) {
            connections.setTlsSocketStrategy(new DefaultClientTlsStrategy(work.tls()));
        }
        return HttpClients.custom().setConnectionManager(connections.build()).build();
    }

    static String basic(String id, String secret) throws Exception {
        String both = java.net.URLEncoder.encode(id, "UTF-8") + ":" + java.net.URLEncoder.encode(secret, "UTF-8");
        return "Basic " + java.util.Base64.getEncoder().encodeToString(both.getBytes("UTF-8"));
    }

    static void add(List<NameValuePair> form, String name, String value) {
        form.add(new BasicNameValuePair(name, value));
    }
}
