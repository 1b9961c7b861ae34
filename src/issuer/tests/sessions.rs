//! How sessions end, by a clock that the tests set.

use http::header::AUTHORIZATION;

use super::*;
use crate::base::ByteSize;
use crate::store::{Admission, Answer, LogIn, StoreError, User, UserId};

/// Seconds after a login.
fn at(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

impl Site {
    async fn rules(change: impl FnOnce(&mut SessionRules)) -> Self {
        Self::with(|config| change(&mut config.sessions)).await
    }

    async fn refresh_at(&self, token: &str, now: UnixTime) -> Read {
        self.post_at("/api/token/refresh/", json!({"refresh": token}), now).await
    }

    async fn logout(&self, path: &str, body: Value) -> Read {
        self.post_at(path, body, NOW).await
    }

    async fn logout_as_bearer(&self, path: &str, access: &str) -> Read {
        let request = Request::post(path).header(AUTHORIZATION, format!("Bearer {access}"));
        self.send_at(path, request.body(Bytes::new()).unwrap(), NOW).await
    }

    /// Whether routes would take an access token.
    fn takes(&self, token: &str) -> bool {
        let token = parse(token.as_bytes(), &Limits::default()).expect("a token");
        let revocations = self.issuer.revocations();
        !revocations.is_revoked(&revocations.names(token.claims(), token.signing_input()), NOW)
    }

    fn events(&self, event: SessionEvent) -> u64 {
        self.issuer.metrics.session_events.with_label_values(&[event.as_str()]).get()
    }
}

fn pair(answer: &Read) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    (text(&answer.body, "access"), text(&answer.body, "refresh"))
}

const LOGOUT: &str = "/api/token/logout/";
const LOGOUT_ALL: &str = "/api/token/logout/all/";

#[tokio::test]
async fn within_the_grace_the_predecessor_gets_the_same_claims_again() {
    let site = Site::start().await;
    let (_, first) = site.login().await;
    let (access, second) = pair(&site.refresh_at(&first, at(100)).await);
    let (again_access, again) = pair(&site.refresh_at(&first, at(110)).await);
    assert_eq!(segment(&second, 1), segment(&again, 1));
    assert_eq!(segment(&access, 1), segment(&again_access, 1));
    assert_eq!(site.events(SessionEvent::GraceUsed), 1);
    // Either text of the successor is good, and what comes after it is one again.
    let (_, third) = pair(&site.refresh_at(&again, at(200)).await);
    let (_, same) = pair(&site.refresh_at(&second, at(201)).await);
    assert_eq!(segment(&third, 1), segment(&same, 1));
    pair(&site.refresh_at(&third, at(300)).await);
    assert!(site.takes(&access));
}

#[tokio::test]
async fn after_the_grace_reuse_ends_that_session_and_its_access_tokens_and_no_other() {
    let site = Site::start().await;
    let (other_access, other) = site.login().await;
    let (first_access, first) = site.login().await;
    let (access, second) = pair(&site.refresh_at(&first, at(100)).await);
    let refused_reuse = site.refresh_at(&first, at(111)).await;
    assert_eq!(refused_reuse.body, refused("Token is blacklisted"));
    assert_eq!(site.events(SessionEvent::EndedByReuse), 1);
    assert!(!site.takes(&access) && !site.takes(&first_access) && site.takes(&other_access));
    assert_eq!(site.refresh_at(&second, at(112)).await.body, refused("Token is blacklisted"));
    pair(&site.refresh_at(&other, at(112)).await);
    site.refresh_at(&first, at(113)).await;
    assert_eq!(site.events(SessionEvent::EndedByReuse), 1, "it ended once");
}

#[tokio::test]
async fn the_grace_ends_when_the_successor_is_used() {
    let site = Site::start().await;
    let (_, first) = site.login().await;
    let (_, second) = pair(&site.refresh(&first).await);
    let (_, third) = pair(&site.refresh(&second).await);
    assert_eq!(site.refresh(&first).await.body, refused("Token is blacklisted"));
    assert_eq!(site.refresh(&third).await.status, 401, "the session ended");
    assert_eq!((site.events(SessionEvent::EndedByReuse), site.events(SessionEvent::GraceUsed)), (1, 0));
}

#[tokio::test]
async fn the_grace_outlives_a_key_rotation_and_serves_another_replica() {
    let mut site = Site::start().await;
    let (_, first) = site.login().await;
    let (_, second) = pair(&site.refresh(&first).await);
    let config = config(&site.folder);
    store::KeyRing::generate(&config.key_ring, config.algorithm, NOW).unwrap();
    site.issuer = Issuer::open(&config, false, 1, NOW, shared()).await.unwrap();
    let (_, again) = pair(&site.refresh_at(&first, at(5)).await);
    assert_eq!(segment(&second, 1), segment(&again, 1));
    assert_ne!(segment(&second, 0)["kid"], segment(&again, 0)["kid"]);
    pair(&site.refresh_at(&again, at(6)).await);
}

#[tokio::test]
async fn neither_a_forgery_nor_a_token_that_was_ended_counts_as_reuse() {
    let site = Site::start().await;
    let (_, first) = site.login().await;
    let (access, second) = pair(&site.refresh(&first).await);
    let mut claims = segment(&first, 1);
    claims["username"] = json!("mallory");
    assert_eq!(site.refresh_at(&site.forge(claims), at(60)).await.status, 401);
    assert!(site.takes(&access));
    assert_eq!(site.blacklist(&second).await.status, 200);
    assert_eq!(site.refresh_at(&second, at(60)).await.status, 401);
    assert_eq!(site.events(SessionEvent::EndedByReuse), 0);
}

#[tokio::test]
async fn the_grace_is_closed_to_a_user_who_was_shut_out() {
    let site = Site::start().await;
    let (_, first) = site.login().await;
    pair(&site.refresh(&first).await);
    site.issuer.own_users().set_active("ada", false).await.unwrap();
    assert_eq!(site.refresh(&first).await.outcome, Outcome::RefusedAccount);
}

#[tokio::test]
async fn in_simplejwts_manner_reuse_ends_nothing_unless_the_file_says_so() {
    let site = Site::simplejwt().await;
    let (_, first) = site.login().await;
    let (access, second) = pair(&site.refresh(&first).await);
    assert_eq!(site.refresh_at(&first, at(60)).await.status, 401);
    assert!(site.takes(&access));
    pair(&site.refresh_at(&second, at(60)).await);

    let site = Site::with(|config| config.compatibility = Compatibility::SimpleJwt).await;
    let (_, first) = site.login().await;
    let (access, second) = pair(&site.refresh(&first).await);
    let (again_access, again) = pair(&site.refresh_at(&first, at(5)).await);
    assert_eq!((segment(&second, 1), segment(&access, 1)), (segment(&again, 1), segment(&again_access, 1)));
    assert_eq!(site.refresh_at(&first, at(60)).await.status, 401);
    assert!(!site.takes(&access) && !site.takes(&again_access));
    assert_eq!(site.refresh_at(&second, at(60)).await.status, 401);
}

#[tokio::test]
async fn a_logout_ends_the_session_and_its_access_tokens_by_either_token() {
    for manner in [SessionRules::TOLLGATE, SessionRules::SIMPLEJWT] {
        let compatibility = match manner.on_reuse {
            config::OnReuse::EndSession => Compatibility::Tollgate,
            config::OnReuse::Refuse => Compatibility::SimpleJwt,
        };
        let site = Site::with(|config| {
            (config.compatibility, config.sessions) = (compatibility, manner);
        })
        .await;
        let (other, _) = site.login().await;
        for way in ["refresh", "predecessor", "access", "both"] {
            let (first_access, first) = site.login().await;
            let (access, second) = pair(&site.refresh(&first).await);
            let answer = match way {
                "refresh" => site.logout(LOGOUT, json!({"refresh": second})).await,
                "predecessor" => site.logout(LOGOUT, json!({"refresh": first})).await,
                "access" => site.logout_as_bearer(LOGOUT, &access).await,
                _ => {
                    let request = Request::post(LOGOUT)
                        .header(AUTHORIZATION, format!("Bearer {other}"))
                        .header("content-type", "application/json");
                    let body = json!({"refresh": second}).to_string();
                    site.send_at(LOGOUT, request.body(body.into()).unwrap(), NOW).await
                }
            };
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({})), "{way}");
            assert_eq!((answer.outcome, answer.subject.as_deref()), (Outcome::LoggedOut, Some("1")));
            assert!(!site.takes(&access) && !site.takes(&first_access) && site.takes(&other), "{way}");
            assert_eq!(site.refresh(&second).await.body, refused("Token is blacklisted"), "{way}");
            assert_eq!(site.verify(&access).await.status, 400, "{way}");
            assert_eq!(site.verify(&second).await.status, 400, "{way}");
            assert_eq!(site.logout_as_bearer(LOGOUT, &access).await.status, 401, "it is void");
            assert_eq!(site.logout(LOGOUT, json!({"refresh": second})).await.status, 401);
        }
        assert_eq!(site.events(SessionEvent::EndedByLogout), 4);
    }
}

#[tokio::test]
async fn a_logout_everywhere_ends_all_sessions_of_that_user_and_a_new_login_is_good_at_once() {
    for site in [Site::start().await, Site::simplejwt().await] {
        let grace = site.issuer.passwords().hash(Secret::new(PASSWORD)).await.unwrap();
        let grace =
            NewUser { username: "grace".to_owned(), password: grace, attributes: UserAttributes::default() };
        site.issuer.own_users().add_user(&grace, NOW).await.unwrap();
        let (grace, _) = pair(&site.login_with("grace", PASSWORD).await);
        for way in ["refresh", "predecessor"] {
            let (first_access, first) = site.login().await;
            let sessions = [pair(&site.refresh(&first).await), site.login().await, site.login().await];
            let shown = if way == "refresh" { &sessions[0].1 } else { &first };
            assert_eq!(site.logout(LOGOUT_ALL, json!({"refresh": shown})).await.status, 200, "{way}");
            assert!(!site.takes(&first_access), "{way}");
            for (access, refresh) in &sessions {
                assert!(!site.takes(access), "{way}");
                assert_eq!(site.refresh(refresh).await.status, 401, "{way}");
            }
            assert!(site.takes(&grace), "{way}");
        }
        let (access, refresh) = site.login().await;
        assert!(site.takes(&access));
        pair(&site.refresh(&refresh).await);
        assert_eq!(site.logout_as_bearer(LOGOUT_ALL, &access).await.status, 200);
        assert!(!site.takes(&access));
    }
}

#[tokio::test]
async fn a_token_of_no_session_ends_by_itself() {
    let site = Site::start().await;
    let claims = json!({"token_type": "access", "exp": NOW.0 + 60, "iat": NOW.0, "jti": "minted", "user_id": "1",
        "iss": "https://gate.example.test", "aud": "api"});
    let token = site.forge(claims);
    assert_eq!(site.logout_as_bearer(LOGOUT, &token).await.status, 200);
    assert!(!site.takes(&token));
    assert_eq!(site.logout_as_bearer(LOGOUT, &token).await.status, 401);
}

#[tokio::test]
async fn a_logout_without_a_token_or_with_a_wrong_one_is_refused() {
    let site = Site::start().await;
    let (access, refresh) = site.login().await;
    for path in [LOGOUT, LOGOUT_ALL] {
        let answer = site.logout(path, json!({})).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["refresh"][0]),
            (400, &json!("This field is required."))
        );
        assert_eq!(site.logout(path, json!({"refresh": access})).await.body, refused("Token has wrong type"));
        assert_eq!(site.logout_as_bearer(path, &refresh).await.body, refused("Token has wrong type"));
        assert_eq!(site.logout_as_bearer(path, "x").await.body, refused("Token is invalid"));
        let old = site.post_at(path, json!({"refresh": refresh}), at(86_400)).await;
        assert_eq!(old.body, refused("Token is expired"));
    }
    assert!(site.takes(&access));
}

#[tokio::test]
async fn a_session_has_an_absolute_end() {
    let site = Site::rules(|rules| rules.lifetime = Some(Duration::from_secs(1_000))).await;
    let (access, first) = site.login().await;
    assert_eq!(segment(&first, 1)["exp"], NOW.0 + 1_000);
    assert_eq!(segment(&access, 1)["exp"], NOW.0 + 300);
    let (access, second) = pair(&site.refresh_at(&first, at(900)).await);
    assert_eq!(
        (&segment(&access, 1)["exp"], &segment(&second, 1)["exp"]),
        (&json!(NOW.0 + 1_000), &json!(NOW.0 + 1_000))
    );
    assert_eq!(site.refresh_at(&second, at(1_000)).await.body, refused("Token is expired"));

    // A file that asks for less than when the session began.
    let mut site = Site::start().await;
    let (_, first) = site.login().await;
    let mut config = config(&site.folder);
    config.sessions.lifetime = Some(Duration::from_secs(600));
    site.issuer = Issuer::open(&config, false, 1, NOW, shared()).await.unwrap();
    assert_eq!(site.refresh_at(&first, at(600)).await.body, refused("Token is expired"));
    pair(&site.refresh_at(&first, at(599)).await);
}

/// A hook that takes connections and answers none.
fn silent_hook(listener: &std::net::TcpListener) -> config::ClaimHook {
    config::ClaimHook {
        url: format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap(),
        fetch: config::Fetch {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_millis(100),
            max_body: ByteSize(1024),
            allow_http: true,
            allow_private_addresses: true,
            ca: None,
            proxy: config::EgressProxy::None,
            credential: None,
            client_certificate: None,
        },
        on_error: config::OnHookError::Fail,
    }
}

#[tokio::test]
async fn nobody_is_asked_for_the_claims_of_a_session_that_is_over() {
    for compatibility in [Compatibility::Tollgate, Compatibility::SimpleJwt] {
        let hook = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        hook.set_nonblocking(true).unwrap();
        let mut site = Site::with(|config| config.compatibility = compatibility).await;
        let (_, refresh) = site.login().await;
        let mut config = config(&site.folder);
        config.compatibility = compatibility;
        config.sessions.lifetime = Some(Duration::from_secs(600));
        config.hook = Some(silent_hook(&hook));
        site.issuer = Issuer::open(&config, false, 1, NOW, shared()).await.unwrap();
        assert_eq!(site.refresh_at(&refresh, at(600)).await.body, refused("Token is expired"));
        assert_eq!(hook.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        // As long as it lives, the hook is.
        assert_eq!(site.refresh_at(&refresh, at(599)).await.status, 503);
        hook.accept().unwrap();
    }
}

#[tokio::test]
async fn one_login_too_many_ends_the_oldest_session() {
    let site = Site::rules(|rules| rules.most_per_user = Some(2)).await;
    let mut sessions = Vec::new();
    for second in 0..4 {
        let body = json!({"username": "ada", "password": PASSWORD});
        sessions.push(pair(&site.post_at("/api/token/", body, at(second)).await));
    }
    let alive: Vec<bool> = sessions.iter().map(|(access, _)| site.takes(access)).collect();
    assert_eq!(alive, [false, false, true, true]);
    assert_eq!(site.refresh_at(&sessions[1].1, at(5)).await.body, refused("Token is blacklisted"));
    pair(&site.refresh_at(&sessions[2].1, at(5)).await);
    assert_eq!(site.events(SessionEvent::EndedByLimit), 2);
}

#[tokio::test]
async fn a_user_who_is_shut_out_where_users_live_loses_sessions_and_access_tokens() {
    for site in [Site::start().await, Site::simplejwt().await] {
        let (access, refresh) = site.login().await;
        let (fresh, _) = pair(&site.refresh(&refresh).await);
        site.issuer.end_sessions_of_the_shut_out(|| NOW).await.unwrap();
        assert!(site.takes(&access) && site.takes(&fresh));
        site.issuer.own_users().set_active("ada", false).await.unwrap();
        site.issuer.end_sessions_of_the_shut_out(|| NOW).await.unwrap();
        assert!(!site.takes(&access) && !site.takes(&fresh));
        assert_eq!(site.events(SessionEvent::EndedWithUser), 1);
        let id = site.issuer.users.by_id("1").await.unwrap().unwrap().id;
        assert_eq!(site.issuer.sessions.sessions_of(&id, NOW).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_session_ends_with_its_user_also_while_nobody_uses_it() {
    let site = Site::start().await;
    let (_, refresh) = site.login().await;
    let later = at(1_000);
    for active in [false, true] {
        site.issuer.own_users().set_active("ada", active).await.unwrap();
        site.issuer.end_sessions_of_the_shut_out(|| later).await.unwrap();
    }
    assert_eq!(site.refresh_at(&refresh, later).await.body, refused("Token is blacklisted"));
    assert_eq!(site.events(SessionEvent::EndedWithUser), 1);
}

#[tokio::test]
async fn where_it_does_not_matter_who_is_active_only_those_who_are_gone_lose_their_sessions() {
    let site = Site::with(|config| {
        config.compatibility = Compatibility::SimpleJwt;
        config.form.check_user_is_active = false;
    })
    .await;
    let (access, refresh) = site.login().await;
    site.issuer.own_users().set_active("ada", false).await.unwrap();
    site.issuer.end_sessions_of_the_shut_out(|| NOW).await.unwrap();
    assert!(site.takes(&access));
    let (_, successor) = pair(&site.refresh(&refresh).await);
    // In the grace, too.
    let (_, again) = pair(&site.refresh(&refresh).await);
    assert_eq!(segment(&successor, 1), segment(&again, 1));
    let (_, refresh) = pair(&site.refresh(&successor).await);
    site.issuer.own_users().remove_user("ada").await.unwrap();
    site.issuer.end_sessions_of_the_shut_out(|| NOW).await.unwrap();
    assert_eq!(site.refresh(&refresh).await.status, 401);
}

/// Users of whom one can't be looked up.
struct Partly {
    users: Arc<dyn OwnUsers>,
    not: &'static str,
}

impl Users for Partly {
    fn log_in<'a>(&'a self, _: &'a str, _: Secret, _: &'a dyn Admission) -> LogIn<'a> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        if id == self.not {
            let source = "no answer".into();
            return Box::pin(async { Err(StoreError::Unavailable { database: "users".to_owned(), source }) });
        }
        self.users.user_by_id(id)
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.users.note_login(id, now)
    }
}

#[tokio::test]
async fn a_user_who_can_t_be_looked_up_keeps_nobody_else_in() {
    let mut site = Site::start().await;
    let password = site.issuer.passwords().hash(Secret::new(PASSWORD)).await.unwrap();
    let bob = NewUser { username: "bob".to_owned(), password, attributes: UserAttributes::default() };
    site.issuer.own_users().add_user(&bob, NOW).await.unwrap();
    let (of_ada, _) = site.login().await;
    let (of_bob, _) =
        pair(&site.post_at("/api/token/", json!({"username": "bob", "password": PASSWORD}), NOW).await);
    for name in ["ada", "bob"] {
        site.issuer.own_users().set_active(name, false).await.unwrap();
    }
    site.issuer.users = Box::new(Partly { users: Arc::clone(&site.issuer.own_users), not: "1" });
    let told = site.issuer.end_sessions_of_the_shut_out(|| NOW).await;
    assert!(matches!(told, Err(StoreError::Unavailable { .. })), "{told:?}");
    assert!(site.takes(&of_ada) && !site.takes(&of_bob));
}
