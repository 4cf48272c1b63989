//! Rehearsals: many changes in one transaction, of which nothing remains. Each finds what those before it have done.

use std::panic::Location;

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};

use crate::base::error::Result;
use crate::database::{Database, Transaction, Work, contended};

/// An open transaction that is never committed. It keeps the locks of everything that was done in it.
pub struct Rehearsal(Transaction);

impl Database {
    /// Begins a rehearsal. It may stay idle for as long as it likes.
    #[track_caller]
    pub fn rehearse(&self) -> impl Future<Output = Result<Rehearsal>> {
        let place = Location::caller();
        async move {
            let mut transaction = self.begin(place).await?;
            self.set_up(&mut transaction).await?;
            transaction.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
            Ok(Rehearsal(transaction))
        }
    }
}

impl Rehearsal {
    /// Does `work` as if in a transaction of its own: if it fails, nothing of it remains, but everything before it.
    pub async fn step<F, T>(&mut self, work: F) -> Result<T>
    where
        for<'t> F: AsyncFn(&'t mut Transaction) -> Result<T>
            + Work<&'t mut Transaction, Result<T>, Running: Send>
            + Send
            + Sync,
        T: Send,
    {
        AnsiTransactionManager::begin_transaction(&mut *self.0).await?;
        match work(&mut self.0).await {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(&mut *self.0).await?;
                Ok(value)
            }
            Err(error) => {
                AnsiTransactionManager::rollback_transaction(&mut *self.0).await?;
                Err(if error.is_transient() || error.is_lock_timeout() { contended() } else { error })
            }
        }
    }

    /// Ends the rehearsal, and takes back everything that was done in it.
    pub async fn end(mut self) -> Result<()> {
        AnsiTransactionManager::rollback_transaction(&mut *self.0).await?;
        self.0.connection.set_in_transaction(false);
        Ok(())
    }
}
