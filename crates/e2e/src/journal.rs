//! What happened, in the order in which it was seen.

use parking_lot::Mutex;
use std::sync::Arc;

/// Lines in the order of their arrival. Cheap to clone.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    /// Writes a line down.
    pub fn note(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    /// Forgets everything so far.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// Checks that these lines are there, each behind the one before.
    ///
    /// # Panics
    /// When one is not, with the whole journal.
    pub fn assert_in_order(&self, steps: &[&str]) {
        let lines = self.0.lock();
        let mut rest = lines.iter();
        for step in steps {
            assert!(rest.any(|line| line == step), "{step:?} does not follow:\n{}", lines.join("\n"));
        }
    }
}
