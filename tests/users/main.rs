//! Every place where users may live, behind the real gateway: one suite that all of them pass, and what is special to
//! each. Databases and directories are real servers that a test starts for itself.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod directory;
mod django;
mod login_url;
mod places;
mod queries;
mod suite;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::{DatabaseKind, block_on, directory_missing, server_missing, trial};

use self::django::Database;

fn main() -> ExitCode {
    let mut trials = vec![
        trial("own_users_pass_the_suite", None, || block_on(places::own(None))),
        trial("users_of_a_yaml_file_pass_the_suite", None, || block_on(places::yaml_file())),
        trial("users_of_an_htpasswd_file_pass_the_suite", None, || block_on(places::htpasswd_file())),
        trial("users_of_an_htpasswd_file_log_in_and_follow_its_changes", None, || {
            block_on(places::htpasswd());
        }),
    ];
    for (name, kind) in [("postgres", DatabaseKind::Postgres), ("mariadb", DatabaseKind::MariaDb)] {
        let missing = server_missing(kind.program());
        trials.push(trial(&format!("own_users_pass_the_suite_on_{name}"), missing.as_deref(), move || {
            block_on(places::own(Some(kind)));
        }));
    }
    trials.push(trial(
        "commands_leave_users_who_live_elsewhere_alone",
        None,
        || block_on(places::commands()),
    ));
    trials.extend([
        trial("users_of_a_login_url_pass_the_suite", None, || block_on(login_url::suite(false))),
        trial("users_of_a_login_url_that_is_asked_again_pass_the_suite", None, || {
            block_on(login_url::suite(true));
        }),
        trial("a_login_url_that_gives_no_verdict_makes_503", None, || block_on(login_url::no_verdict())),
        trial("members_of_a_login_url_s_answer_become_claims", None, || {
            block_on(login_url::members_as_claims());
        }),
        trial("what_a_login_url_is_told_and_tells", None, || block_on(login_url::exchange())),
    ]);
    let ldap = directory_missing();
    trials.extend([
        trial("users_of_a_directory_pass_the_suite_by_their_names", ldap.as_deref(), || {
            block_on(directory::by_name());
        }),
        trial("users_of_a_directory_pass_the_suite_by_search", ldap.as_deref(), || {
            block_on(directory::by_search());
        }),
        trial("attributes_of_a_directory_become_claims", ldap.as_deref(), || {
            block_on(directory::attributes_as_claims());
        }),
        trial("a_directory_that_is_gone_makes_503_and_recovers", ldap.as_deref(), || {
            block_on(directory::outage());
        }),
        trial("a_directory_whose_certificate_is_not_trusted_gets_no_password", ldap.as_deref(), || {
            block_on(directory::untrusted());
        }),
    ]);
    let django = server_missing(django::environment().join("bin/django-admin"));
    for (database, kind) in [
        (Database::Sqlite, None),
        (Database::Postgres, Some(DatabaseKind::Postgres)),
        (Database::MariaDb, Some(DatabaseKind::MariaDb)),
    ] {
        let missing = django.clone().or_else(|| server_missing(kind?.program()));
        let add = |name: &str, test: fn(Database)| -> Trial {
            trial(&format!("{name}_on_{}", database.name()), missing.as_deref(), move || test(database))
        };
        trials.extend([
            add("users_of_every_hasher_of_django_log_in", |database| {
                block_on(django::users_of_every_hasher_log_in(database));
            }),
            add("django_users_pass_the_suite", |database| block_on(django::suite(database))),
            add("claims_of_every_source_are_fresh_at_login_and_refresh", |database| {
                block_on(django::claims_of_every_source(database));
            }),
            add("simultaneous_logins_that_renew_a_hash_all_give_good_tokens", |database| {
                block_on(django::simultaneous_logins_that_renew_a_hash(database));
            }),
            add("spellings_of_one_account_share_what_it_may_fail", |database| {
                block_on(django::spellings_share_an_allowance(database));
            }),
            add("whoever_the_site_shuts_out_loses_sessions_and_tokens", |database| {
                block_on(django::shut_out(database));
            }),
            add("a_user_model_of_the_site_s_own_is_read", |database| {
                block_on(django::a_user_model_of_its_own(database));
            }),
            add("what_is_not_in_the_database_stops_the_start", |database| {
                block_on(django::wrong_names_stop_the_start(database));
            }),
            add("a_database_that_is_gone_makes_503_and_recovers", |database| {
                block_on(django::outage(database));
            }),
        ]);
    }
    trials.push(trial("in_simplejwt_s_manner_a_refresh_asks_for_claims_anew", None, || {
        block_on(queries::in_the_profile());
    }));
    for (database, kind) in [
        (Database::Sqlite, None),
        (Database::Postgres, Some(DatabaseKind::Postgres)),
        (Database::MariaDb, Some(DatabaseKind::MariaDb)),
    ] {
        let missing = kind.and_then(|kind| server_missing(kind.program()));
        let add = |name: &str, test: fn(Database)| -> Trial {
            trial(&format!("{name}_on_{}", database.name()), missing.as_deref(), move || test(database))
        };
        trials.extend([
            add("claims_are_asked_for_at_login_and_refresh", |database| {
                block_on(queries::values(database));
            }),
            add("without_its_database_no_token_lacks_a_claim", |database| {
                block_on(queries::outage(database));
            }),
            add("a_query_that_can_t_be_carried_out_is_found_before_the_start", |database| {
                block_on(queries::broken(database));
            }),
            add("a_query_that_writes_or_gives_no_claim_issues_nothing", |database| {
                block_on(queries::refused(database));
            }),
        ]);
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
