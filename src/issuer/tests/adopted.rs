//! In SimpleJWT's manner: refresh tokens that the site made with the same key, before the gateway was there.

use super::*;
use crate::store::SessionRecord;

const LATER: UnixTime = UnixTime(NOW.0 + 10);

/// With and without rotation.
async fn sites() -> [Site; 2] {
    let site = |rotate| {
        Box::pin(Site::with(move |config| {
            config.compatibility = Compatibility::SimpleJwt;
            config.sessions = SessionRules::SIMPLEJWT;
            config.rotate_refresh_tokens = rotate;
            config.blacklist_after_rotation = rotate;
        }))
    };
    [site(true).await, site(false).await]
}

impl Site {
    /// A refresh token as the site makes it.
    fn of_the_site(&self, user: &Value) -> String {
        let claims = json!({"token_type": "refresh", "exp": NOW.0 + 3_600, "iat": NOW.0 - 60, "jti": mint::new_id(),
            "user_id": user, "iss": "https://gate.example.test", "aud": "api"});
        self.forge(claims)
    }

    async fn sessions(&self) -> Vec<SessionRecord> {
        let id = self.issuer.users.by_id("1").await.unwrap().unwrap().id;
        self.issuer.sessions.sessions_of(&id, LATER).await.unwrap()
    }

    fn is_revoked(&self, token: &str) -> bool {
        let token = parse(token.as_bytes(), &Limits::default()).unwrap();
        let revocations = self.issuer.revocations();
        revocations.is_revoked(&revocations.names(token.claims(), token.signing_input()), LATER)
    }
}

#[tokio::test]
async fn its_first_use_begins_a_session_whose_logout_ends_the_access_tokens() {
    for site in sites().await {
        let mut refresh = site.of_the_site(&json!("1"));
        let mut access = Vec::new();
        for _ in 0..2 {
            let answer = site.refresh(&refresh).await;
            access.push(text(&answer.body, "access"));
            if let Some(next) = answer.body["refresh"].as_str() {
                next.clone_into(&mut refresh);
            }
        }
        assert_eq!(site.sessions().await.len(), 1);
        let answer = site.post_at("/api/token/logout/", json!({"refresh": refresh}), LATER).await;
        assert_eq!(answer.status, 200);
        assert!(access.iter().all(|token| site.is_revoked(token)));
        assert_eq!(site.sessions().await, []);
        assert_eq!(site.refresh(&refresh).await.body, refused("Token is blacklisted"));
    }
}

#[tokio::test]
async fn many_first_uses_at_once_begin_one_session() {
    for site in sites().await {
        let first = site.of_the_site(&json!("1"));
        let answers = join_all((0..8).map(|_| site.refresh(&first))).await;
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(passed, if site.issuer.rotate { 1 } else { 8 });
        assert_eq!(site.sessions().await.len(), 1);
    }
}

#[tokio::test]
async fn where_it_names_nobody_there_is_no_session() {
    for site in sites().await {
        let first = site.of_the_site(&json!(null));
        assert_eq!(site.refresh(&first).await.status, 200);
        let nobody = site.of_the_site(&json!("99"));
        assert_eq!(site.refresh(&nobody).await.status, 401);
        let mut database = site.database().await;
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sessions").fetch_one(&mut database).await.unwrap();
        assert_eq!(rows, 0);
    }
}

#[tokio::test]
async fn one_that_was_logged_out_begins_none() {
    for site in sites().await {
        let first = site.of_the_site(&json!("1"));
        assert_eq!(site.post_at("/api/token/logout/", json!({"refresh": first}), NOW).await.status, 200);
        assert_eq!(site.refresh(&first).await.body, refused("Token is blacklisted"));
        assert_eq!(site.sessions().await, []);
    }
}

#[tokio::test]
async fn one_that_was_logged_out_meanwhile_leaves_no_session() {
    for site in sites().await {
        let first = site.of_the_site(&json!("1"));
        let Ok(looked_at) = site.issuer.look_at_refresh(&first, NOW).await else { panic!("a good token") };
        assert_eq!(site.post_at("/api/token/logout/", json!({"refresh": first}), NOW).await.status, 200);
        assert!(site.issuer.adopted(&first, looked_at, NOW).await.is_err());
        assert_eq!(site.sessions().await, []);
    }
}

#[tokio::test]
async fn within_the_grace_it_gets_its_successor_again() {
    // A claim that tells of the password is for routes to look at, and the site's token has none.
    for claim in [None, Some("hash_password".to_owned())] {
        let site = Site::with(|config| {
            config.compatibility = Compatibility::SimpleJwt;
            config.form.revoke_token_claim = claim;
        });
        let site = Box::pin(site).await;
        let first = site.of_the_site(&json!("1"));
        let successor = text(&site.refresh(&first).await.body, "refresh");
        let again = text(&site.refresh(&first).await.body, "refresh");
        assert_eq!(segment(&successor, 1), segment(&again, 1));
    }
}
