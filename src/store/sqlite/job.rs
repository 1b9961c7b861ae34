//! What is done on a thread of the database, for a caller who waits elsewhere.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, ffi};
use tokio::sync::oneshot;

/// One call: its work, and whom to tell.
pub(super) trait Job: Send {
    /// Whether somebody waits for the answer.
    fn is_wanted(&self) -> bool;

    /// Does the work, once, and keeps the result. After an error nothing of it may stay.
    fn run(&mut self, connection: &Connection) -> Result<(), Failure>;

    /// Answers: with what `run` kept, or with what kept it from being true.
    fn answer(self: Box<Self>, lost: Option<&Failure>);
}

/// Why a call was not done. All calls of a batch may get the same.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sqlite(Arc<rusqlite::Error>),
    /// The file can't be looked at.
    #[error(transparent)]
    File(Arc<io::Error>),
    #[error("too many calls wait for it")]
    Full,
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the call failed in a way that nobody foresaw")]
    Panicked,
}

impl Failure {
    /// Something of that name exists.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        matches!(
            error.sqlite_error(),
            Some(ffi::Error {
                code: ErrorCode::ConstraintViolation,
                extended_code: ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            })
        )
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

/// A job and the future of its answer. Whoever drops the future before the job has begun calls it off.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (Box<dyn Job>, impl Future<Output = Result<T, Failure>> + Send) {
    let (caller, answer) = oneshot::channel();
    let task = Task { work: Some(work), result: None, caller };
    (Box::new(task), async { answer.await.unwrap_or(Err(Failure::Panicked)) })
}

struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, Failure>>,
    caller: oneshot::Sender<Result<T, Failure>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Job for Task<T, F> {
    fn is_wanted(&self) -> bool {
        !self.caller.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> Result<(), Failure> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // A connection has no state of ours that a panic could leave half-changed: its transaction is undone.
        let result = match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(done) => done.map_err(Failure::from),
            Err(_panic) => Err(Failure::Panicked),
        };
        let said = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        said
    }

    fn answer(self: Box<Self>, lost: Option<&Failure>) {
        let result = match lost {
            Some(failure) => Err(failure.clone()),
            None => match self.result {
                Some(result) => result,
                // It was called off, so nobody listens.
                None => return,
            },
        };
        // The caller may have gone meanwhile.
        let _ = self.caller.send(result);
    }
}
