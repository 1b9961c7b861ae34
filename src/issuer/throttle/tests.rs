use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::base::Secret;
use crate::store::{Answer, NetworkDigest, StoreError};

/// A store of networks that several processes share.
#[derive(Default)]
struct Kept {
    rows: Mutex<HashMap<NetworkDigest, UnixTime>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    is_gone: bool,
    asked: usize,
    told: usize,
}

impl Kept {
    fn set_gone(&self, is_gone: bool) {
        self.seen.lock().unwrap().is_gone = is_gone;
    }

    /// How often it was asked and told something since the last look.
    fn calls(&self) -> (usize, usize) {
        let mut seen = self.seen.lock().unwrap();
        let is_gone = seen.is_gone;
        let Seen { asked, told, .. } = std::mem::replace(&mut *seen, Seen { is_gone, ..Seen::default() });
        (asked, told)
    }

    fn answer<'a, T: Send + 'a>(&'a self, call: impl FnOnce(&mut Seen) -> T) -> Answer<'a, T> {
        let mut seen = self.seen.lock().unwrap();
        let done = call(&mut seen);
        let is_gone = seen.is_gone;
        Box::pin(async move {
            // As a real one: others get their turn before it answers.
            tokio::task::yield_now().await;
            match is_gone {
                true => Err(StoreError::Unavailable { database: "kept".into(), source: "gone".into() }),
                false => Ok(done),
            }
        })
    }
}

impl LoginNetworks for Kept {
    fn network_key(&self, _: Secret) -> Answer<'_, Secret> {
        self.answer(|_| Secret::new("shared by all"))
    }

    fn note_network<'a>(&'a self, digest: &'a NetworkDigest, until: UnixTime) -> Answer<'a, ()> {
        self.answer(|seen| {
            seen.told += 1;
            if !seen.is_gone {
                self.rows.lock().unwrap().insert(*digest, until);
            }
        })
    }

    fn knows_network<'a>(&'a self, digest: &'a NetworkDigest, now: UnixTime) -> Answer<'a, bool> {
        self.answer(|seen| {
            seen.asked += 1;
            self.rows.lock().unwrap().get(digest).is_some_and(|until| *until > now)
        })
    }
}

fn limits(per_account: &str, per_address: &str, account_ceiling: &str) -> config::Throttle {
    config::Throttle {
        per_account: per_account.parse().ok(),
        per_address: per_address.parse().ok(),
        account_ceiling: account_ceiling.parse().ok(),
    }
}

fn throttle(per_account: &str, per_address: &str, account_ceiling: &str) -> Throttle {
    Throttle::new(&limits(per_account, per_address, account_ceiling), Arc::new(Kept::default()))
}

fn at(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

fn moment() -> Moment {
    Moment { instant: Instant::now(), time: UnixTime(1_700_000_000) }
}

impl Moment {
    fn after(self, seconds: u64) -> Self {
        let later = Duration::from_secs(seconds);
        Self { instant: self.instant + later, time: self.time.plus(later) }
    }
}

/// How many logins fail before one has to wait; which limit, and how many seconds.
async fn fail(throttle: &Throttle, name: &str, address: &str, now: Moment) -> (usize, Limit, u64) {
    for count in 0..1000 {
        match throttle.admit(name, at(address), now).await {
            Ok(attempt) => attempt.failed(),
            Err(Refused::Throttled { limit, wait }) => return (count, limit, wait.as_secs()),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("never throttled")
}

/// How many of these names are let try from this address.
async fn fail_once_each(throttle: &Throttle, names: &[String], address: &str, now: Moment) -> usize {
    let mut admitted = 0;
    for name in names {
        if let Ok(attempt) = throttle.admit(name, at(address), now).await {
            attempt.failed();
            admitted += 1;
        }
    }
    admitted
}

async fn log_in(throttle: &Throttle, name: &str, address: &str, now: Moment) -> bool {
    match throttle.admit(name, at(address), now).await {
        Ok(attempt) => {
            attempt.succeeded().await;
            true
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn an_allowance_is_spent_at_once_and_comes_back_one_by_one() {
    let throttle = throttle("10/1m", "off", "off");
    let start = moment();
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", start).await, (10, Limit::Account, 6));
    let later = |seconds| start.after(seconds);
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", later(5)).await, (0, Limit::Account, 1));
    // Those that were turned away counted for nothing.
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", later(6)).await.0, 1);
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", later(66)).await.0, 10);
}

#[tokio::test]
async fn spellings_of_one_name_share_one_allowance() {
    let throttle = throttle("10/1m", "off", "off");
    let now = moment();
    fail(&throttle, "ada", "192.0.2.1", now).await;
    for spelling in ["ADA", "adá", "ＡＤＡ", "ada\u{200b} "] {
        assert_eq!(fail(&throttle, spelling, "192.0.2.1", now).await.0, 0, "{spelling:?}");
    }
    assert_eq!(fail(&throttle, "bob", "192.0.2.1", now).await.0, 10);
}

#[tokio::test]
async fn an_account_has_one_allowance_for_each_network() {
    let throttle = throttle("10/1m", "off", "off");
    let now = moment();
    for (first, same, other) in [
        ("192.0.2.1", "192.0.2.254", "192.0.3.1"),
        ("2001:db8:0:100::1", "2001:db8:0:1ff::1", "2001:db8:0:200::1"),
        ("::ffff:198.51.100.1", "198.51.100.77", "198.51.101.1"),
    ] {
        assert_eq!(fail(&throttle, "ada", first, now).await.0, 10, "{first}");
        assert_eq!(fail(&throttle, "ada", same, now).await.0, 0, "{same}");
        assert_eq!(fail(&throttle, "ada", other, now).await.0, 10, "{other}");
    }
}

#[tokio::test]
async fn an_address_has_one_allowance_for_all_names() {
    let throttle = throttle("off", "30/1m", "off");
    let now = moment();
    let names: Vec<String> = (0..40).map(|index| format!("user-{index}")).collect();
    assert_eq!(fail_once_each(&throttle, &names, "2001:db8::1", now).await, 30);
    assert_eq!(fail(&throttle, "x", "2001:db8::ffff", now).await, (0, Limit::Address, 2));
    assert_eq!(fail(&throttle, "x", "2001:db8:0:1::1", now).await.0, 30, "another /64 is another client");
}

#[tokio::test]
async fn the_ceiling_does_not_hold_where_the_account_logged_in_before() {
    let throttle = throttle("10/1m", "off", "20/10m");
    let now = moment();
    assert!(log_in(&throttle, "ada", "203.0.113.5", now).await);
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", now).await, (10, Limit::Account, 6));
    assert_eq!(fail(&throttle, "ada", "192.0.3.1", now).await, (10, Limit::Account, 6));
    assert_eq!(fail(&throttle, "ada", "192.0.4.1", now).await, (0, Limit::Ceiling, 30));
    assert!(log_in(&throttle, "ada", "203.0.113.77", now).await, "the owner's own network");
    assert!(!log_in(&throttle, "ada", "203.0.114.5", now).await, "a network that was never seen");
    assert!(log_in(&throttle, "bob", "192.0.4.1", now).await, "another account");
    assert_eq!(fail(&throttle, "ada", "203.0.113.5", now).await, (10, Limit::Account, 6));
}

#[tokio::test]
async fn what_did_not_fail_costs_nothing() {
    let throttle = throttle("1/1m", "1/1m", "1/1m");
    let now = moment();
    for _ in 0..5 {
        let attempt = throttle.admit("ada", at("192.0.2.1"), now).await;
        attempt.expect("admitted").could_not_be_judged();
        assert!(log_in(&throttle, "ada", "192.0.2.1", now).await);
        assert!(log_in(&throttle, "bob", "192.0.2.1", now).await);
    }
}

#[tokio::test]
async fn a_refusal_of_one_limit_spends_none_of_the_others() {
    let throttle = throttle("1/1m", "10/1m", "off");
    let now = moment();
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", now).await, (1, Limit::Account, 60));
    for _ in 0..50 {
        assert!(throttle.admit("ada", at("192.0.2.1"), now).await.is_err());
    }
    let names: Vec<String> = (0..50).map(|name| name.to_string()).collect();
    assert_eq!(fail_once_each(&throttle, &names, "192.0.2.1", now).await, 9);
}

#[tokio::test]
async fn many_guesses_at_once_are_counted_before_the_first_has_failed() {
    let throttle = throttle("10/1m", "off", "off");
    let now = moment();
    let open = join_all((0..50).map(|_| throttle.admit("ada", at("192.0.2.1"), now))).await;
    assert_eq!(open.iter().filter(|attempt| attempt.is_ok()).count(), 10);
}

#[tokio::test]
async fn many_good_logins_at_once_pass_where_the_account_is_known() {
    let throttle = throttle("10/1m", "30/1m", "100/10m");
    let now = moment();
    assert!(log_in(&throttle, "robot", "192.0.2.1", now).await);
    let open = join_all((0..200).map(|_| throttle.admit("robot", at("192.0.2.1"), now))).await;
    assert!(open.iter().all(Result::is_ok));
}

/// As a place of users that takes other letters for the same than [`name`] does.
async fn guess(throttle: &Throttle, presented: &str, found: &str, address: &str, now: Moment) -> bool {
    let Ok(attempt) = throttle.admit(presented, at(address), now).await else { return false };
    if attempt.admits(found).await {
        attempt.failed();
        return true;
    }
    assert!(matches!(attempt.turned_away(), Refused::Throttled { limit: Limit::Account, .. }));
    false
}

#[tokio::test]
async fn an_attempt_counts_for_the_user_whom_it_found_too() {
    let throttle = throttle("10/1m", "off", "off");
    let now = moment();
    let mut admitted = 0;
    for round in 0..4 {
        for presented in ["æda", "aeda", "ǽda", "åda"] {
            assert!(round < 3 || !guess(&throttle, presented, "aeda", "192.0.2.1", now).await);
            admitted += usize::from(guess(&throttle, presented, "aeda", "192.0.2.1", now).await);
        }
    }
    assert_eq!(admitted, 10);
    assert_eq!(fail(&throttle, "aeda", "192.0.2.1", now).await.0, 0);
    assert_eq!(fail(&throttle, "aeda", "192.0.3.1", now).await.0, 10, "another network");
}

#[tokio::test]
async fn who_is_turned_away_for_the_user_found_spends_nothing() {
    let throttle = throttle("10/1m", "20/1m", "off");
    let now = moment();
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", now).await.0, 10);
    for _ in 0..50 {
        assert!(!guess(&throttle, "other", "ada", "192.0.2.1", now).await);
    }
    assert_eq!(fail(&throttle, "other", "192.0.2.1", now).await.0, 10);
    assert_eq!(fail(&throttle, "x", "192.0.2.1", now).await.1, Limit::Address);
}

#[tokio::test]
async fn a_login_makes_its_network_known_under_both_names() {
    let kept = Arc::new(Kept::default());
    let limits = limits("off", "off", "3/1h");
    let throttle = Throttle::new(&limits, Arc::clone(&kept) as _);
    let now = moment();
    let attempt = throttle.admit("æda", at("203.0.113.5"), now).await.expect("admitted");
    assert!(attempt.admits("aeda").await);
    attempt.succeeded().await;
    for restarted in [throttle, Throttle::new(&limits, kept)] {
        for name in ["æda", "aeda"] {
            assert_eq!(fail(&restarted, name, "192.0.2.1", now).await.1, Limit::Ceiling);
            assert!(log_in(&restarted, name, "203.0.113.5", now).await, "{name}");
        }
    }
}

#[tokio::test]
async fn a_network_that_logged_in_stays_known_after_a_restart_and_at_other_replicas() {
    let kept = Arc::new(Kept::default());
    let limits = limits("10/1m", "off", "20/10m");
    let now = moment();
    let first = Throttle::new(&limits, Arc::clone(&kept) as _);
    for owner in ["203.0.113.5", "2001:db8:0:100::1"] {
        assert!(log_in(&first, "ada", owner, now).await);
    }
    let days = 86_400;
    for (day, is_known) in [(0, true), (89, true), (91, false)] {
        let other = Throttle::new(&limits, Arc::clone(&kept) as _);
        let later = now.after(day * days);
        for stranger in ["192.0.2.1", "192.0.3.1"] {
            assert_eq!(fail(&other, "ada", stranger, later).await.0, 10);
        }
        for unknown in ["203.0.114.5", "2001:db8:0:200::1", "::203.0.113.5"] {
            assert!(!log_in(&other, "ada", unknown, later).await, "{unknown}");
        }
        assert_eq!(fail(&other, "bob", "192.0.2.1", later).await.0, 10);
        assert_eq!(fail(&other, "bob", "192.0.3.1", later).await.0, 10);
        assert!(!log_in(&other, "bob", "203.0.113.5", later).await, "known for ada only");
        for owner in ["203.0.113.77", "2001:db8:0:1ff::1"] {
            let attempt = other.admit("ada", at(owner), later).await;
            assert_eq!(attempt.is_ok(), is_known, "{owner} after {day} days");
            let _ = attempt.map(Attempt::could_not_be_judged);
        }
    }
}

#[tokio::test]
async fn who_logs_in_to_an_account_of_a_name_like_another_s_is_not_known_to_that() {
    let kept = Arc::new(Kept::default());
    let limits = limits("off", "off", "5/1h");
    let throttle = Throttle::new(&limits, Arc::clone(&kept) as _);
    let now = moment();
    assert!(log_in(&throttle, "adá", "203.0.113.5", now).await);
    for throttle in [throttle, Throttle::new(&limits, kept)] {
        assert_eq!(fail(&throttle, "ada", "192.0.2.1", now).await, (5, Limit::Ceiling, 720));
        assert!(!log_in(&throttle, "ada", "203.0.113.5", now).await);
        assert!(log_in(&throttle, "adá", "203.0.113.5", now).await);
    }
}

#[tokio::test]
async fn the_store_is_asked_only_where_the_ceiling_would_refuse() {
    let kept = Arc::new(Kept::default());
    let throttle = Throttle::new(&limits("10/1m", "off", "20/10m"), Arc::clone(&kept) as _);
    let now = moment();
    fail(&throttle, "ada", "192.0.2.1", now).await;
    fail(&throttle, "ada", "192.0.3.1", now).await;
    assert_eq!(kept.calls(), (0, 0));
    for _ in 0..100 {
        let guesses = join_all((0..10).map(|_| throttle.admit("ada", at("192.0.4.1"), now))).await;
        assert!(guesses.iter().all(Result::is_err));
    }
    assert_eq!(kept.calls(), (1, 0), "one answer for all");
    assert_eq!(fail(&throttle, "ada", "192.0.5.1", now).await.0, 0);
    assert_eq!(kept.calls(), (1, 0));
}

#[tokio::test]
async fn the_store_is_told_of_one_login_a_day() {
    let kept = Arc::new(Kept::default());
    let throttle = &Throttle::new(&limits("10/1m", "off", "20/10m"), Arc::clone(&kept) as _);
    let now = moment();
    let logins = |now| join_all((0..50).map(move |_| log_in(throttle, "robot", "192.0.2.1", now)));
    for (seconds, told) in [(0, 1), (86_399, 0), (86_400, 1), (86_401, 0)] {
        assert!(logins(now.after(seconds)).await.into_iter().all(|is_in| is_in));
        assert_eq!(kept.calls(), (0, told), "after {seconds} seconds");
    }
    assert!(log_in(throttle, "robot", "192.0.3.1", now).await);
    assert_eq!(kept.calls(), (0, 1), "another network");
}

#[tokio::test]
async fn without_a_ceiling_the_store_hears_nothing() {
    let kept = Arc::new(Kept::default());
    let throttle = Throttle::new(&limits("10/1m", "30/1m", "off"), Arc::clone(&kept) as _);
    assert!(log_in(&throttle, "ada", "192.0.2.1", moment()).await);
    assert_eq!(kept.calls(), (0, 0));
}

#[tokio::test]
async fn while_the_store_is_gone_a_network_is_as_unknown() {
    let kept = Arc::new(Kept::default());
    let limits = limits("off", "off", "5/10m");
    let now = moment();
    assert!(log_in(&Throttle::new(&limits, Arc::clone(&kept) as _), "ada", "203.0.113.5", now).await);

    kept.set_gone(true);
    let throttle = Throttle::new(&limits, Arc::clone(&kept) as _);
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", now).await, (5, Limit::Ceiling, 120));
    assert!(!log_in(&throttle, "ada", "203.0.113.5", now).await);
    assert!(log_in(&throttle, "bob", "203.0.113.5", now).await, "this process knows it all the same");
    assert_eq!(fail(&throttle, "bob", "192.0.2.1", now).await.1, Limit::Ceiling);
    assert!(log_in(&throttle, "bob", "203.0.113.5", now).await);

    kept.set_gone(false);
    kept.calls();
    assert!(log_in(&throttle, "bob", "203.0.113.5", now).await);
    assert_eq!(kept.calls(), (0, 1), "told when it is back");
}

#[tokio::test]
async fn the_tables_stay_of_their_size() {
    let kept: Arc<dyn LoginNetworks> = Arc::new(Kept::default());
    let limits = limits("10/1m", "off", "100/10m");
    let throttle = Throttle::of_size(&limits, 100, Networks::of_size(Some(kept), 100, 100));
    let now = moment();
    for name in 0..2000 {
        let name = name.to_string();
        let attempt = throttle.admit(&name, at("192.0.2.1"), now).await;
        attempt.expect("each name has its own allowance").failed();
        assert!(log_in(&throttle, &name, "192.0.2.1", now).await);
        let login = Login { key: throttle.hash(&name), name: name.as_str().into(), network: at("192.0.2.1") };
        throttle.networks.recalls(&login, now).await;
    }
    for table in [&throttle.accounts, &throttle.ceilings] {
        let size = table.as_ref().expect("limited").size();
        assert!((1..=100).contains(&size), "{size}");
    }
    for size in throttle.networks.sizes() {
        assert!((1..=100).contains(&size), "{size}");
    }
}
