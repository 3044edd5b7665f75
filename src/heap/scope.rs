//! Components around futures: entered while the future is polled, left while it waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::component::{Component, ComponentGuard, ComponentId};

/// Puts futures into components.
///
/// ```
/// use memory_exporter::{Component, InComponent};
///
/// static IMPORT: Component = Component::new("import");
///
/// let future = async { vec![0_u8; 1024] }.in_component(&IMPORT);
/// # let _ = future;
/// ```
pub trait InComponent: Future + Sized {
    /// Charges what the future allocates while it is polled to `component`, on whatever thread that is.
    fn in_component(self, component: &Component) -> Scoped<Self> {
        Scoped {
            future: self,
            component: component.id(),
        }
    }
}

impl<F: Future> InComponent for F {}

pin_project! {
    /// A future in a component; see [`InComponent`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        #[pin]
        future: F,
        component: ComponentId,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = ComponentGuard::new(*this.component);
        this.future.poll(context)
    }
}
