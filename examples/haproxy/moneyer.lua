-- Calls an issuer's /check with a request's token, for haproxy.cfg.
--
--   http-request lua.moneyer-check PATH?QUERY
--
-- uses the frontend moneyer-check of haproxy.cfg, which leads to the issuer. It
-- sets txn.moneyer_status to the status of the answer, txn.moneyer_challenge to its
-- WWW-Authenticate, and on 200 the request's X-Token headers. If the issuer is
-- unavailable there is no status: accept only 200.

local token_headers = {
  "x-token-issuer", "x-token-client", "x-token-subject", "x-token-scope",
  "x-token-id", "x-token-expires", "x-token-as-of", "x-token-claims",
}

core.register_action("moneyer-check", { "http-req" }, function(txn, path)
  txn:set_var("txn.moneyer_status", 0)
  -- Only the token of the request. All Authorization headers are sent: /check refuses
  -- two. Lua counts them from 0.
  local headers = { ["x-forwarded-for"] = { txn.sf:src() } }
  local given = txn.http:req_get_headers()["authorization"]
  if given then
    headers["authorization"] = {}
    for i = 0, #given do
      headers["authorization"][i + 1] = given[i]
    end
  end
  local certificate = txn:get_var("txn.client_cert")
  if certificate then
    headers["client-cert"] = { ":" .. certificate .. ":" } -- RFC 9440
  end

  local answer = core.httpclient():get{ url = "http://moneyer" .. path, dst = "abns@moneyer-check", headers = headers }
  if not answer or not answer.status then
    return
  end

  local said = answer.headers or {}
  if answer.status == 200 then
    for _, name in ipairs(token_headers) do
      local values = said[name]
      if not values then
        return -- this is not /check: each 200 of it has all of them
      end
      txn.http:req_set_header(name, values[0] or "")
    end
  end
  local challenge = said["www-authenticate"]
  txn:set_var("txn.moneyer_challenge", challenge and challenge[0] or "Bearer")
  txn:set_var("txn.moneyer_status", answer.status)
end, 1)
