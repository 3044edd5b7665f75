//! The endpoints as they are configured now. A reload puts others in their place, and whoever serves them sees that with the next request.

use std::sync::{Arc, PoisonError, RwLock};

use super::handlers::Api;

/// Where the endpoints of now are to be had.
#[derive(Debug, Clone)]
pub(crate) struct Current(Arc<RwLock<Arc<Api>>>);

impl Current {
    pub(crate) fn new(api: Api) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(api))))
    }

    /// Those of now.
    pub(crate) fn api(&self) -> Arc<Api> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it is these.
    pub(crate) fn replace(&self, api: Api) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(api);
    }
}
