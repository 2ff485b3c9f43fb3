"""The names that secrets go by: of fields, in words, and of headers."""

from __future__ import annotations


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


# A name is sensitive when one of its words, or the singular of one, is here ...
TOKENS = _set(
    """apikey authorization bearer bsn credential credentials creds csrf cvc cvv jwt otp passcode passphrase passwd
    password passwort pwd secret sessionid signature ssn token totp xsrf"""
)
# ... or two words that stand side by side are here ...
PAIRS = _set(
    """access_key account_number api_key auth_code auth_header auth_key backup_code card_number client_cert
    client_secret connection_string credit_card encryption_key http_cookie license_key master_key private_key
    recovery_code secret_key security_answer session_id session_key set_cookie signing_key ssh_key verification_code"""
)
# ... or all its words, joined, are here.
EXACT = _set(
    """accesskey accesstoken accountnumber aiohttpsession apikey apitoken aspnetsessionid assertion auth authentication
    authheader authorization awsaccesskeyid backupcode bearer bsn cardnumber ccnumber clientassertion clientsecret
    codeverifier connectionstring connectsid cookie cookies credential credentials creditcard creds csrf
    csrfmiddlewaretoken csrftoken cvc cvc2 cvv cvv2 databaseurl dsn encryptionkey hmac iban idtoken jsessionid jwt
    mfacode mysqlpwd nonce otp pan pass passcode passphrase passwd passwdhash password passwordhash passwort
    phpsessid pin pincode privatekey privatekeypem pw pwd rbzid rbzsessionid recoverycode recoverycodes refreshtoken
    resetcode routingnumber samlrequest samlresponse secret secretkey secrets securityanswer sessid session sessionid
    setcookie sid sig signature signingkey sigv4 ssn symfony token tokens totp usersession verificationcode
    xamzcredential xamzsecuritytoken xamzsignature xforwardedclientcert xgoogcredential xgoogsignature xsrf xsrftoken"""
)
HEADERS = _set(
    """api-key apikey authentication-info authorization cf-access-client-secret cf-access-jwt-assertion cookie dpop
    job-token ocp-apim-subscription-key private-token proxy-authenticate proxy-authorization sec-websocket-key
    sec-websocket-protocol set-cookie set-cookie2 ssl-client-cert stripe-signature www-authenticate x-access-token
    x-amz-credential x-amz-security-token x-amz-server-side-encryption-customer-key x-amz-signature
    x-amzn-mtls-clientcert x-amzn-oidc-accesstoken x-amzn-oidc-data x-amzn-oidc-identity x-api-key x-arr-clientcert
    x-auth-request-access-token x-auth-token x-client-cert x-consul-token x-csrf-token x-csrftoken
    x-forwarded-access-token x-forwarded-client-cert x-functions-key x-gitlab-token x-goog-api-key
    x-goog-iam-authorization-token x-goog-iap-jwt-assertion x-hub-signature x-hub-signature-256 x-jwt-assertion
    x-ms-client-principal x-ms-token-aad-access-token x-ms-token-aad-id-token x-ms-token-aad-refresh-token
    x-original-authorization x-refresh-token x-serverless-authorization x-session-token x-shopify-access-token
    x-shopify-hmac-sha256 x-slack-signature x-ssl-client-cert x-token x-twilio-signature x-user-token x-vault-token
    x-xsrf-token"""
)
