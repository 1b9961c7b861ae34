//! Whether the user of a token of our own is still there and let in, and whether a sliding token is blacklisted.
//!
//! A token is good until it expires, whatever becomes of its user; a route that can't live with that asks. A worker
//! keeps the store's last answers, one place for each subject, and a request waits for the store only where that answer
//! is older than the route allows. Requests that ask the same at the same time wait for one answer.
//!
//! An answer is as old as its question: what was changed before a request came is seen by every question that is
//! young enough for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::authenticate::Principal;
use super::worker::Worker;
use crate::base::ReasonCode;
use crate::config::StandingCheck;
use crate::http::Refusal;
use crate::issuer::{Issuer, Standing, Subject};

/// Places for answers; each subject has one, and two that share it only take it from each other.
const PLACES: usize = 4096;
/// So long a request waits for the store. The store's own limits end sooner.
const DEADLINE: Duration = Duration::from_secs(4);
/// More questions at once than that are not asked: the store has more to do than it takes on.
const MOST_OPEN: usize = 256;
/// After a question that brought no answer, the same is not asked again for so long.
const REST: Duration = Duration::from_secs(1);

/// What a worker knows of the standing of subjects.
#[derive(Default)]
pub(super) struct UserChecks {
    hasher: RandomState,
    /// Empty until the first answer.
    known: RefCell<Vec<Option<Known>>>,
    open: RefCell<HashMap<Box<str>, Open>>,
    /// The last question brought no answer, and that was said.
    failing: Cell<bool>,
}

struct Known {
    name: Box<str>,
    /// The last answer and when it was asked for.
    standing: Option<(Arc<Standing>, Instant)>,
    failed_at: Option<Instant>,
}

#[derive(Clone)]
struct Open {
    asked_at: Instant,
    answer: watch::Receiver<Option<Arc<Standing>>>,
}

impl fmt::Debug for UserChecks {
    /// Nothing of the users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserChecks").finish_non_exhaustive()
    }
}

/// Asks about the subject of a good token of the built-in issuer.
///
/// # Errors
/// The token is not good any more, or nobody can tell.
pub(super) async fn user_check(
    worker: &Worker,
    check: StandingCheck,
    principal: &Principal,
) -> Result<(), Refusal> {
    let Some(issuer) = &worker.snapshot.issuer else { return Err(Refusal::UserCheckUnavailable) };
    let claims = &principal.token.token.claims;
    let subject = issuer.subject(claims, check.users).map_err(Refusal::invalid_token)?;
    if subject.is_nothing() {
        return Ok(());
    }
    let known = worker.user_checks.recent(&subject.name(), check.max_age, Instant::now());
    let standing = match known {
        Some(standing) => standing,
        // Boxed, so that requests with other tokens do not carry its state.
        None => Box::pin(ask(worker, issuer, subject, check)).await?,
    };
    let judged: Result<(), ReasonCode> = issuer.judge(claims, &standing);
    judged.map_err(Refusal::invalid_token)
}

async fn ask(
    worker: &Worker,
    issuer: &Arc<Issuer>,
    subject: Subject<'_>,
    check: StandingCheck,
) -> Result<Arc<Standing>, Refusal> {
    let checks = &worker.user_checks;
    let name: Box<str> = subject.name().into();
    let answer = match checks.join(&name, check.max_age, Instant::now()) {
        Join::Open(open) => Some(open),
        Join::Ask => Some(start(worker, issuer, subject, name.clone())),
        Join::Rest => None,
    };
    if let Some(mut answer) = answer
        && let Ok(Ok(standing)) = timeout(DEADLINE, answer.wait_for(Option::is_some)).await
        && let Some(standing) = &*standing
    {
        return Ok(Arc::clone(standing));
    }
    let stale = check.stale_if_error.max(check.max_age);
    checks.recent(&name, stale, Instant::now()).ok_or(Refusal::UserCheckUnavailable)
}

/// Asks on the control plane, and keeps the answer for all who come later, whether or not the request that asks first
/// waits for it.
fn start(
    worker: &Worker,
    issuer: &Arc<Issuer>,
    subject: Subject<'_>,
    name: Box<str>,
) -> watch::Receiver<Option<Arc<Standing>>> {
    let asked_at = Instant::now();
    let (sender, answer) = watch::channel(None);
    let checks = Rc::clone(&worker.user_checks);
    checks.open.borrow_mut().insert(name.clone(), Open { asked_at, answer: answer.clone() });
    let (issuer, subject) = (Arc::clone(issuer), subject.into_owned());
    let asking = worker.control.spawn(async move { issuer.standing(&subject).await });
    spawn_local(async move {
        let standing = match timeout(DEADLINE, asking).await {
            Ok(Ok(Ok(standing))) => Ok(Arc::new(standing)),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(defect)) => Err(defect.to_string()),
            Err(_) => Err("the store does not answer in time".to_owned()),
        };
        checks.conclude(name, asked_at, standing.clone());
        // Those who wait see the end of the channel where there is no answer.
        if let Ok(standing) = standing {
            sender.send_replace(Some(standing));
        }
    });
    answer
}

enum Join {
    /// The same is being asked, since not too long ago.
    Open(watch::Receiver<Option<Arc<Standing>>>),
    Ask,
    /// It has been asked in vain, or too much is being asked.
    Rest,
}

impl UserChecks {
    fn place(&self, name: &str) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(name) as usize;
        hash % PLACES
    }

    /// The last answer, if it was asked for less than `max_age` ago.
    fn recent(&self, name: &str, max_age: Duration, now: Instant) -> Option<Arc<Standing>> {
        let known = self.known.borrow();
        let known = known.get(self.place(name))?.as_ref().filter(|known| *known.name == *name)?;
        let (standing, asked_at) = known.standing.as_ref()?;
        (now.saturating_duration_since(*asked_at) < max_age).then(|| Arc::clone(standing))
    }

    fn join(&self, name: &str, max_age: Duration, now: Instant) -> Join {
        let open = self.open.borrow();
        if let Some(open) = open.get(name)
            && now.saturating_duration_since(open.asked_at) < max_age
        {
            return Join::Open(open.answer.clone());
        }
        let known = self.known.borrow();
        let known = known.get(self.place(name)).and_then(Option::as_ref).filter(|known| *known.name == *name);
        let failed_at = known.and_then(|known| known.failed_at);
        let rests = failed_at.is_some_and(|failed_at| now.saturating_duration_since(failed_at) < REST);
        if rests || open.len() >= MOST_OPEN { Join::Rest } else { Join::Ask }
    }

    fn conclude(&self, name: Box<str>, asked_at: Instant, standing: Result<Arc<Standing>, String>) {
        let mut open = self.open.borrow_mut();
        if open.get(&name).is_some_and(|open| open.asked_at == asked_at) {
            open.remove(&name);
        }
        let mut known = self.known.borrow_mut();
        if known.is_empty() {
            known.resize_with(PLACES, || None);
        }
        let place = &mut known[self.place(&name)];
        let before = place.take().filter(|known| known.name == name);
        let before_asked_at = before.as_ref().and_then(|known| known.standing.as_ref()).map(|(_, at)| *at);
        let mut now = before.unwrap_or(Known { name, standing: None, failed_at: None });
        match standing {
            Ok(standing) => {
                // Of two questions the younger one's answer stays, in whatever order they come.
                if before_asked_at.is_none_or(|before| before <= asked_at) {
                    now.standing = Some((standing, asked_at));
                }
                now.failed_at = None;
                self.failing.set(false);
            }
            Err(why) => {
                now.failed_at = Some(Instant::now());
                if !self.failing.replace(true) {
                    tracing::warn!("nobody can tell whether users are still let in: {why}");
                }
            }
        }
        *place = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Duration = Duration::from_secs(5);

    fn standing() -> Arc<Standing> {
        Arc::new(Standing::nothing())
    }

    fn answered(checks: &UserChecks, name: &str, asked_at: Instant, standing: &Arc<Standing>) {
        checks.conclude(name.into(), asked_at, Ok(Arc::clone(standing)));
    }

    #[test]
    fn an_answer_is_as_old_as_its_question() {
        let (checks, now, answer) = (UserChecks::default(), Instant::now(), standing());
        answered(&checks, "1", now, &answer);
        assert!(checks.recent("1", FIVE, now + Duration::from_secs(4)).is_some());
        assert!(checks.recent("1", FIVE, now + FIVE).is_none());
        assert!(checks.recent("1", Duration::ZERO, now).is_none());
        assert!(checks.recent("2", FIVE, now).is_none());
    }

    #[test]
    fn a_younger_answer_is_not_replaced_by_an_older_one_that_comes_later() {
        let (checks, now) = (UserChecks::default(), Instant::now());
        let (old, young) = (standing(), standing());
        answered(&checks, "1", now + FIVE, &young);
        answered(&checks, "1", now, &old);
        let known = checks.recent("1", FIVE, now + FIVE).expect("an answer");
        assert!(Arc::ptr_eq(&known, &young));
    }

    #[test]
    fn who_asks_the_same_at_the_same_time_waits_for_one_answer() {
        let (checks, now) = (UserChecks::default(), Instant::now());
        let open = Open { asked_at: now, answer: watch::channel(None).1 };
        checks.open.borrow_mut().insert("1".into(), open);
        assert!(matches!(checks.join("1", FIVE, now), Join::Open(_)));
        assert!(matches!(checks.join("2", FIVE, now), Join::Ask));
        // What was changed since that question would not be seen.
        assert!(matches!(checks.join("1", Duration::ZERO, now), Join::Ask));
        assert!(matches!(checks.join("1", FIVE, now + FIVE), Join::Ask));
        answered(&checks, "1", now, &standing());
        assert!(checks.open.borrow().is_empty());
    }

    #[test]
    fn after_a_question_in_vain_the_store_is_left_in_peace_for_a_second_and_the_last_answer_stays() {
        let (checks, answer) = (UserChecks::default(), standing());
        let now = Instant::now();
        answered(&checks, "1", now, &answer);
        checks.conclude("1".into(), now, Err("gone".to_owned()));
        assert!(matches!(checks.join("1", Duration::ZERO, now), Join::Rest));
        assert!(matches!(checks.join("1", Duration::ZERO, Instant::now() + 2 * REST), Join::Ask));
        assert!(checks.recent("1", FIVE, now).is_some());
    }

    #[test]
    fn no_more_than_so_many_questions_are_open() {
        let (checks, now) = (UserChecks::default(), Instant::now());
        for number in 0..MOST_OPEN {
            let open = Open { asked_at: now, answer: watch::channel(None).1 };
            checks.open.borrow_mut().insert(number.to_string().into(), open);
        }
        assert!(matches!(checks.join("another", FIVE, now), Join::Rest));
    }
}
