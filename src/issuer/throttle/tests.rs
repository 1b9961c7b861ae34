use super::*;

fn throttle(per_account: &str, per_address: &str, account_ceiling: &str) -> Throttle {
    Throttle::new(&config::Throttle {
        per_account: per_account.parse().ok(),
        per_address: per_address.parse().ok(),
        account_ceiling: account_ceiling.parse().ok(),
    })
}

fn at(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// How many logins fail before one has to wait; which limit, and how many seconds.
fn fail(throttle: &Throttle, name: &str, address: &str, now: Instant) -> (usize, Limit, u64) {
    for count in 0..1000 {
        match throttle.admit(name, at(address), now) {
            Ok(attempt) => attempt.failed(),
            Err(Refused::Throttled { limit, wait }) => return (count, limit, wait.as_secs()),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("never throttled")
}

fn log_in(throttle: &Throttle, name: &str, address: &str, now: Instant) -> bool {
    throttle.admit(name, at(address), now).map(Attempt::succeeded).is_ok()
}

#[test]
fn an_allowance_is_spent_at_once_and_comes_back_one_by_one() {
    let throttle = throttle("10/1m", "off", "off");
    let start = Instant::now();
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", start), (10, Limit::Account, 6));
    let later = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", later(5)), (0, Limit::Account, 1));
    // Those that were turned away counted for nothing.
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", later(6)).0, 1);
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", later(66)).0, 10);
}

#[test]
fn spellings_of_one_name_share_one_allowance() {
    let throttle = throttle("10/1m", "off", "off");
    let now = Instant::now();
    fail(&throttle, "ada", "192.0.2.1", now);
    for spelling in ["ADA", "adá", "ＡＤＡ", "ada\u{200b} "] {
        assert_eq!(fail(&throttle, spelling, "192.0.2.1", now).0, 0, "{spelling:?}");
    }
    assert_eq!(fail(&throttle, "bob", "192.0.2.1", now).0, 10);
}

#[test]
fn an_account_has_one_allowance_for_each_network() {
    let throttle = throttle("10/1m", "off", "off");
    let now = Instant::now();
    for (first, same, other) in [
        ("192.0.2.1", "192.0.2.254", "192.0.3.1"),
        ("2001:db8:0:100::1", "2001:db8:0:1ff::1", "2001:db8:0:200::1"),
        ("::ffff:198.51.100.1", "198.51.100.77", "198.51.101.1"),
    ] {
        assert_eq!(fail(&throttle, "ada", first, now).0, 10, "{first}");
        assert_eq!(fail(&throttle, "ada", same, now).0, 0, "{same}");
        assert_eq!(fail(&throttle, "ada", other, now).0, 10, "{other}");
    }
}

#[test]
fn an_address_has_one_allowance_for_all_names() {
    let throttle = throttle("off", "30/1m", "off");
    let now = Instant::now();
    let names: Vec<String> = (0..40).map(|index| format!("user-{index}")).collect();
    let admitted =
        names.iter().filter(|name| throttle.admit(name, at("2001:db8::1"), now).map(Attempt::failed).is_ok());
    assert_eq!(admitted.count(), 30);
    assert_eq!(fail(&throttle, "x", "2001:db8::ffff", now), (0, Limit::Address, 2));
    assert_eq!(fail(&throttle, "x", "2001:db8:0:1::1", now).0, 30, "another /64 is another client");
}

#[test]
fn the_ceiling_does_not_hold_where_the_account_logged_in_before() {
    let throttle = throttle("10/1m", "off", "20/10m");
    let now = Instant::now();
    assert!(log_in(&throttle, "ada", "203.0.113.5", now));
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", now), (10, Limit::Account, 6));
    assert_eq!(fail(&throttle, "ada", "192.0.3.1", now), (10, Limit::Account, 6));
    assert_eq!(fail(&throttle, "ada", "192.0.4.1", now), (0, Limit::Ceiling, 30));
    assert!(log_in(&throttle, "ada", "203.0.113.77", now), "the owner's own network");
    assert!(!log_in(&throttle, "ada", "203.0.114.5", now), "a network that was never seen");
    assert!(log_in(&throttle, "bob", "192.0.4.1", now), "another account");
    assert_eq!(fail(&throttle, "ada", "203.0.113.5", now), (10, Limit::Account, 6));
}

#[test]
fn what_did_not_fail_costs_nothing() {
    let throttle = throttle("1/1m", "1/1m", "1/1m");
    let now = Instant::now();
    for _ in 0..5 {
        throttle.admit("ada", at("192.0.2.1"), now).expect("admitted").could_not_be_judged();
        assert!(log_in(&throttle, "ada", "192.0.2.1", now));
        assert!(log_in(&throttle, "bob", "192.0.2.1", now));
    }
}

#[test]
fn a_refusal_of_one_limit_spends_none_of_the_others() {
    let throttle = throttle("1/1m", "10/1m", "off");
    let now = Instant::now();
    assert_eq!(fail(&throttle, "ada", "192.0.2.1", now), (1, Limit::Account, 60));
    for _ in 0..50 {
        assert!(throttle.admit("ada", at("192.0.2.1"), now).is_err());
    }
    let left = (0..50)
        .filter(|name| throttle.admit(&name.to_string(), at("192.0.2.1"), now).map(Attempt::failed).is_ok());
    assert_eq!(left.count(), 9);
}

#[test]
fn many_guesses_at_once_are_counted_before_the_first_has_failed() {
    let throttle = throttle("10/1m", "off", "off");
    let now = Instant::now();
    let open: Vec<_> = (0..50).map(|_| throttle.admit("ada", at("192.0.2.1"), now)).collect();
    assert_eq!(open.iter().filter(|attempt| attempt.is_ok()).count(), 10);
}

#[test]
fn many_good_logins_at_once_pass_where_the_account_is_known() {
    let throttle = throttle("10/1m", "30/1m", "100/10m");
    let now = Instant::now();
    assert!(log_in(&throttle, "robot", "192.0.2.1", now));
    let open: Vec<_> = (0..200).map(|_| throttle.admit("robot", at("192.0.2.1"), now)).collect();
    assert!(open.iter().all(Result::is_ok));
}

#[test]
fn the_tables_stay_of_their_size() {
    let limits = config::Throttle {
        per_account: "10/1m".parse().ok(),
        per_address: None,
        account_ceiling: "100/10m".parse().ok(),
    };
    let throttle = Throttle::of_size(&limits, 100);
    let now = Instant::now();
    for name in 0..2000 {
        let attempt = throttle.admit(&name.to_string(), at("192.0.2.1"), now);
        attempt.expect("each name has its own allowance").failed();
    }
    for table in [&throttle.accounts, &throttle.ceilings] {
        let table = &table.as_ref().expect("limited").whole_at;
        table.run_pending_tasks();
        assert!(table.entry_count() <= 100, "{}", table.entry_count());
    }
}
