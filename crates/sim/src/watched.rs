//! A value that others wait for. `tokio::sync::watch` wakes its receivers in a random order; here the first who waited is the
//! first to be woken, in every run.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A value that others wait for.
#[derive(Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    /// Begins with this value.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    /// What it is now.
    pub fn get(&self) -> T
    where
        T: Copy,
    {
        *self.value.lock()
    }

    /// Looks at what it is now.
    pub fn look<U>(&self, look: impl FnOnce(&T) -> U) -> U {
        look(&self.value.lock())
    }

    /// Changes it and tells everybody who waits.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock());
        self.changed.notify_waiters();
    }

    /// Waits until it is so.
    pub async fn until(&self, mut so: impl FnMut(&T) -> bool) {
        loop {
            let changed = self.changed.notified();
            if so(&self.value.lock()) {
                return;
            }
            changed.await;
        }
    }
}
