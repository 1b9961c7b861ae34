//! A site moves from djangorestframework-simplejwt to Tollgate and back, and nobody has to log in again.
//!
//! `site` does it with the real SimpleJWT and the file that `tollgate import` makes of its settings; `legacy` with a key
//! that is no longer Tollgate's own.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod halves;
mod legacy;
mod logouts;
mod mirror;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod told;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use support::{DatabaseKind, block_on, server_missing, trial};

fn main() -> ExitCode {
    let missing = server_missing(site::environment().join("bin/python"));
    let mut trials = vec![
        trial("a_thousand_sessions_go_over_to_tollgate_and_back", missing.as_deref(), || {
            block_on(site::a_thousand_sessions_go_over_and_back());
        }),
        trial("a_site_s_database_that_is_gone_makes_503_and_ends_nothing", missing.as_deref(), || {
            block_on(site::outage());
        }),
        trial("an_old_refresh_token_is_exchanged_for_a_session", None, || {
            block_on(legacy::an_old_refresh_token_is_exchanged());
        }),
        trial("the_service_of_the_site_is_asked_at_an_exchange", None, || {
            block_on(legacy::the_hook_is_called());
        }),
        trial("of_many_exchanges_of_one_token_one_session_is_made", None, || {
            block_on(legacy::one_session_is_made("jti"));
        }),
        trial("of_many_exchanges_of_a_token_known_by_another_claim_one_session_is_made", None, || {
            block_on(legacy::one_session_is_made("token_id"));
        }),
        trial("what_is_no_good_old_refresh_token_is_exchanged_for_nothing", None, || {
            block_on(legacy::nothing_for_bad_tokens());
        }),
        trial("a_changed_password_ends_old_refresh_tokens_that_tell_of_it", None, || {
            block_on(legacy::a_changed_password_ends_old_tokens());
        }),
        trial("all_old_tokens_of_a_user_end_with_all_his_others", None, || {
            block_on(logouts::the_end_of_all_of_a_user_s_tokens());
        }),
        trial("an_old_refresh_token_that_was_not_exchanged_can_be_ended", None, || {
            block_on(logouts::the_end_of_one_old_token());
        }),
        trial("a_provider_s_tokens_are_taken_until_its_date_and_no_longer", None, || {
            block_on(legacy::until_its_date());
        }),
    ];
    let missing = server_missing(DatabaseKind::Postgres.program());
    trials.extend([
        trial("what_a_locked_table_did_not_take_the_site_is_told_later", missing.as_deref(), || {
            block_on(mirror::what_a_locked_table_did_not_take_is_told());
        }),
        trial("a_site_s_server_that_stops_and_starts_again_is_told_what_ended", missing.as_deref(), || {
            block_on(mirror::a_server_that_stops_and_starts_again_is_told());
        }),
        trial("the_end_of_the_gateway_waits_for_the_site_and_says_what_is_lost", missing.as_deref(), || {
            block_on(mirror::the_end_of_the_gateway_waits_for_the_site_and_says_what_is_lost());
        }),
        trial("sessions_that_the_gateway_ends_by_itself_end_at_the_site", missing.as_deref(), || {
            block_on(mirror::sessions_that_the_gateway_ends_by_itself_end_at_the_site());
        }),
        trial("mirrored_rows_hold_a_token_s_text_only_where_the_file_says_so", missing.as_deref(), || {
            block_on(mirror::rows_hold_a_text_only_where_the_file_says_so());
        }),
        trial("logouts_of_mirrored_sessions_end_them_at_the_site", missing.as_deref(), || {
            block_on(mirror::logouts_end_at_the_site());
        }),
        trial("sliding_tokens_end_on_both_sides_by_blacklist_and_by_logout", missing.as_deref(), || {
            block_on(mirror::sliding_tokens_end_on_both_sides());
        }),
        trial("a_token_of_the_site_has_the_grace_of_its_exchange", missing.as_deref(), || {
            block_on(mirror::a_token_of_the_site_has_the_grace_of_its_exchange());
        }),
        trial("a_row_that_the_site_refuses_keeps_no_other_back", missing.as_deref(), || {
            block_on(told::a_refused_row_keeps_no_other_back());
        }),
        trial("the_site_is_told_of_several_ends_at_a_time", missing.as_deref(), || {
            block_on(told::several_at_a_time());
        }),
        trial("a_refresh_amid_a_logout_leaves_no_token_at_the_site", missing.as_deref(), || {
            block_on(told::a_refresh_amid_a_logout());
        }),
        trial("the_end_of_a_session_leaves_no_other_token_at_the_site", missing.as_deref(), || {
            block_on(told::what_else_is_good());
        }),
        trial("what_a_command_ends_the_site_is_told", missing.as_deref(), || {
            block_on(told::commands());
        }),
        trial("a_refresh_token_ended_by_half_can_be_ended_again", missing.as_deref(), || {
            block_on(halves::refresh_tokens());
        }),
        trial("a_sliding_token_ended_by_half_can_be_ended_again", missing.as_deref(), || {
            block_on(halves::sliding_tokens());
        }),
        trial("an_old_refresh_token_that_the_site_ended_is_refused", missing.as_deref(), || {
            block_on(halves::a_token_of_another_key_that_the_site_ended());
        }),
        trial("a_logout_that_was_done_by_half_can_be_done_again", missing.as_deref(), || {
            block_on(mirror::a_logout_that_was_done_by_half_can_be_done_again());
        }),
    ]);
    for kind in [DatabaseKind::Postgres, DatabaseKind::MariaDb] {
        let missing = server_missing(kind.program());
        trials.push(trial(&format!("the_blacklist_is_kept_on_{kind:?}"), missing.as_deref(), move || {
            block_on(tables::rows_are_written_and_found(kind));
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
