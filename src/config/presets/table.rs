//! What each preset stands for. A new one is a row here, a row of `docs/configuration.md` and a golden file.
//!
//! The words are those of the file. A name in angle brackets is a parameter, which stands beside `preset:`. Of rows with
//! one name the first counts whose parameters are all given.

/// A preset.
pub(super) struct Preset {
    /// By which the file chooses it.
    pub(super) name: &'static str,
    /// What the file must say beside the name.
    pub(super) parameters: &'static [Parameter],
    /// The provider's entries.
    pub(super) provider: &'static str,
}

/// What differs between those who use a preset.
pub(super) struct Parameter {
    /// Its key in the file.
    pub(super) name: &'static str,
    /// What it may be.
    pub(super) form: Form,
    /// What it is where the file does not say.
    pub(super) default: Option<&'static str>,
}

/// What a parameter may be, so that it can't lead to another place than the preset means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A host's name.
    Host,
    /// One segment of a path, or one label of a host.
    Segment,
    /// Lower-case hexadecimal digits and hyphens (RFC 9562, section 4).
    Guid,
    /// A URL without a query and without a slash at its end.
    Url,
    /// Whatever may stand in the place where it is put.
    Any,
}

const fn needed(name: &'static str, form: Form) -> Parameter {
    Parameter { name, form, default: None }
}

/// All presets, those of one name together.
pub(super) const PRESETS: [Preset; 11] = [
    // https://auth0.com/docs/secure/tokens/access-tokens/validate-access-tokens: `iss` ends with a slash.
    Preset {
        name: "auth0",
        parameters: &[needed("domain", Form::Host)],
        provider: "
issuer: https://<domain>/
keys: { discovery: true }
algorithms: [RS256]
",
    },
    // https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference: an application's manifest decides
    // whether its tokens are of version 1 or 2, which differ in `iss`. Both name the tenant by its ID.
    Preset {
        name: "entra",
        parameters: &[needed("tenant", Form::Guid)],
        provider: "
issuer: [https://login.microsoftonline.com/<tenant>/v2.0, https://sts.windows.net/<tenant>/]
keys: { jwks_url: https://login.microsoftonline.com/<tenant>/discovery/v2.0/keys }
algorithms: [RS256]
",
    },
    // https://learn.microsoft.com/entra/identity-platform/howto-convert-app-to-be-multi-tenant
    Preset {
        name: "entra",
        parameters: &[],
        provider: "
issuer: ['https://login.microsoftonline.com/{tenant}/v2.0', 'https://sts.windows.net/{tenant}/']
keys: { jwks_url: 'https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys' }
algorithms: [RS256]
",
    },
    // https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html:
    // access tokens have no `aud` but a `client_id`, and differ from ID tokens in `token_use` alone.
    Preset {
        name: "cognito",
        parameters: &[
            needed("region", Form::Segment),
            needed("user_pool_id", Form::Segment),
            needed("client_id", Form::Any),
        ],
        provider: "
issuer: https://cognito-idp.<region>.amazonaws.com/<user_pool_id>
keys: { jwks_url: https://cognito-idp.<region>.amazonaws.com/<user_pool_id>/.well-known/jwks.json }
algorithms: [RS256]
audiences: any
authorized_parties: <client_id>
required_claims: [{ token_use: [access] }]
",
    },
    // https://developer.okta.com/docs/guides/validate-access-tokens/go/main/: tokens of the org's own authorization server
    // are for Okta alone, so it is a custom one, of which the first is called default.
    Preset {
        name: "okta",
        parameters: &[
            needed("domain", Form::Host),
            Parameter { name: "authorization_server", form: Form::Segment, default: Some("default") },
        ],
        provider: "
issuer: https://<domain>/oauth2/<authorization_server>
keys: { discovery: true }
algorithms: [RS256]
",
    },
    // https://www.keycloak.org/securing-apps/oidc-layers: the claim `typ` tells access tokens from ID tokens, which the
    // header does not.
    Preset {
        name: "keycloak",
        parameters: &[needed("url", Form::Url), needed("realm", Form::Segment)],
        provider: "
issuer: <url>/realms/<realm>
keys: { discovery: true }
algorithms: [RS256, PS256, ES256, EdDSA]
required_claims: [{ typ: [Bearer] }]
",
    },
    // https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken: `iss` has two spellings.
    // Access tokens are opaque; these are ID tokens, of anybody with an account.
    Preset {
        name: "google",
        parameters: &[],
        provider: "
issuer: [https://accounts.google.com, accounts.google.com]
keys: { jwks_url: https://www.googleapis.com/oauth2/v3/certs }
algorithms: [RS256]
",
    },
    // https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library
    Preset {
        name: "firebase",
        parameters: &[needed("project", Form::Segment)],
        provider: "
issuer: https://securetoken.google.com/<project>
keys: { jwks_url: https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com }
algorithms: [RS256]
audiences: [<project>]
required_claims: [sub]
",
    },
    // https://supabase.com/docs/guides/auth/signing-keys: of projects with asymmetric keys. Users have the audience
    // authenticated.
    Preset {
        name: "supabase",
        parameters: &[needed("project", Form::Segment)],
        provider: "
issuer: https://<project>.supabase.co/auth/v1
keys: { jwks_url: https://<project>.supabase.co/auth/v1/.well-known/jwks.json }
algorithms: [ES256, RS256]
audiences: [authenticated]
required_claims: [sub]
",
    },
    // https://docs.github.com/actions/reference/security/oidc: of any workflow of anybody.
    Preset {
        name: "github-actions",
        parameters: &[],
        provider: "
issuer: https://token.actions.githubusercontent.com
keys: { discovery: true }
algorithms: [RS256]
required_claims: [sub, repository]
",
    },
    // https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery:
    // the API server asks who wants its keys, by the token and with the authority that each pod has.
    Preset {
        name: "kubernetes",
        parameters: &[Parameter {
            name: "url",
            form: Form::Url,
            default: Some("https://kubernetes.default.svc"),
        }],
        provider: "
issuer: https://kubernetes.default.svc.cluster.local
keys: { jwks_url: <url>/openid/v1/jwks }
algorithms: [RS256, ES256, ES384, ES512]
required_claims: [sub]
fetch:
  allow_private_addresses: true
  ca: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
  credential: { bearer: 'file:/var/run/secrets/kubernetes.io/serviceaccount/token' }
",
    },
];
