//! Drops what is expired while the tree is compacted, which rewrites it anyway: no row is read only to be deleted.

use super::row::Cell;
use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};
use hudhud_ports::Clock;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

pub(super) struct DropExpired {
    clock: AssertUnwindSafe<Arc<dyn Clock>>,
}

impl DropExpired {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock: AssertUnwindSafe(clock) }
    }
}

impl Factory for DropExpired {
    fn name(&self) -> &str {
        "drop-expired"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter { now_us: self.clock.now_us() })
    }
}

struct Filter {
    now_us: u64,
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        // A row that does not decode is kept, for whoever reads it to be told.
        match Cell::decode(&item.value()?) {
            Ok(cell) if cell.is_expired(self.now_us) => Ok(Verdict::Remove),
            _ => Ok(Verdict::Keep),
        }
    }
}
