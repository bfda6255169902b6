-- What the benchmark adds to Glewlwyd's own schema: its OpenID Connect plugin, a
-- scope, a client with a secret and one with a key. WAL with synchronous=FULL,
-- which is SQLite's default, is as durable as what the schema has, and faster.
-- bench/peers fills in the words in braces.
PRAGMA journal_mode = WAL;
INSERT INTO g_plugin_module_instance (gpmi_module, gpmi_name, gpmi_display_name, gpmi_parameters)
  VALUES ('oidc', 'oidc', 'OpenID Connect', {{.Plugin}});
INSERT INTO g_scope (gs_name, gs_password_required) VALUES ('bench', 0);
INSERT INTO g_client_scope (gcs_name) VALUES ('bench');
INSERT INTO g_client (gc_client_id, gc_confidential) VALUES ({{.ID}}, 1), ({{.KeyID}}, 1);
INSERT INTO g_client_scope_client (gc_id, gcs_id) SELECT gc_id, gcs_id FROM g_client, g_client_scope;
INSERT INTO g_client_property (gc_id, gcp_name, gcp_value)
  SELECT gc_id, 'authorization_type', 'client_credentials' FROM g_client;
INSERT INTO g_client_property (gc_id, gcp_name, gcp_value)
  SELECT gc_id, 'token_endpoint_auth_method', 'client_secret_post' FROM g_client WHERE gc_client_id = {{.ID}};
INSERT INTO g_client_property (gc_id, gcp_name, gcp_value)
  SELECT gc_id, 'client_secret', {{.Secret}} FROM g_client WHERE gc_client_id = {{.ID}};
INSERT INTO g_client_property (gc_id, gcp_name, gcp_value)
  SELECT gc_id, 'token_endpoint_auth_method', 'private_key_jwt' FROM g_client WHERE gc_client_id = {{.KeyID}};
INSERT INTO g_client_property (gc_id, gcp_name, gcp_value)
  SELECT gc_id, 'jwks', {{.Keys}} FROM g_client WHERE gc_client_id = {{.KeyID}};
