//! Fields of one selection take turns in one task. Each may hold a connection of its own, and none two.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value, async_trait};
use rollcall_domain::database;

/// Tells the list of the connections that are lent out which field holds them; debug builds alone keep that.
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
