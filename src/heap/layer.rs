//! Components from `tracing` spans.

use std::cell::RefCell;
use std::fmt;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::component::{self, ComponentId};
use super::threads;

/// Field of a span that names the component.
const FIELD: &str = "component";

thread_local! {
    /// Spans that are entered on this thread and name a component, with the component before each.
    static ENTERED: RefCell<Vec<(Id, ComponentId)>> = const { RefCell::new(Vec::new()) };
}

/// A layer that charges what is allocated inside a span to the component that the span names in its field `component`.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
/// let subscriber = tracing_subscriber::registry().with(memory_exporter::ComponentLayer::new());
/// # tracing::subscriber::with_default(subscriber, || {
/// let _span = tracing::info_span!("lookup", component = "cache").entered();
/// # });
/// ```
///
/// Spans without the field belong to the component around them. The value must come from code: see [`Component`](super::Component).
#[derive(Debug, Clone, Copy, Default)]
pub struct ComponentLayer {
    _private: (),
}

impl ComponentLayer {
    /// The layer; it has no options.
    pub fn new() -> Self {
        Self::default()
    }
}

/// What the layer keeps in a span.
struct Named(ComponentId);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ComponentLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut visitor = Visitor(None);
        attributes.record(&mut visitor);
        if let (Some(component), Some(span)) = (visitor.0, context.span(id)) {
            span.extensions_mut().insert(Named(component));
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let component = context
            .span(id)
            .and_then(|span| span.extensions().get::<Named>().map(|named| named.0));
        if let Some(component) = component {
            let previous = threads::enter(component);
            ENTERED.with(|entered| entered.borrow_mut().push((id.clone(), previous)));
        }
    }

    fn on_exit(&self, id: &Id, _context: Context<'_, S>) {
        ENTERED.with(|entered| {
            let mut entered = entered.borrow_mut();
            let Some(at) = entered.iter().rposition(|(span, _)| span == id) else {
                return;
            };
            let (_, previous) = entered.remove(at);
            // Spans need not be left in the order in which they were entered: one that is covered hands its
            // "before" to the one that covers it.
            match entered.get_mut(at) {
                Some((_, before)) => *before = previous,
                None => {
                    threads::enter(previous);
                }
            }
        });
    }
}

struct Visitor(Option<ComponentId>);

impl Visit for Visitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == FIELD {
            self.0 = Some(component::id_of(value));
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}
