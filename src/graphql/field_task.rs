//! The fields of one selection run concurrently in one task. Each may hold a connection of its own, but not two.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value, async_trait};
use rollcall_domain::database;

/// Tells the registry of lent connections which field is running, so that it can attribute connections to fields. The
/// registry exists only in debug builds.
pub struct FieldTask;

impl ExtensionFactory for FieldTask {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for FieldTask {
    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        database::subtask(next.run(context, info)).await
    }
}
