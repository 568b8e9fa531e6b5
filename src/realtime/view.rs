//! Models of what stands in a scene.

use crate::proto::model::Model;
use crate::proto::model::handle::Child;
use crate::realtime::transform::Transform;
use parlor_derive::Model;

/// What every model of a scene has in common: of what it is built.
#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(name = "parlor.View")]
pub struct View {
    /// The prefab; empty for what a scene has by itself. It never changes.
    #[property(1)]
    pub prefab: String,
    /// What else a builder needs to know, in an encoding of the application's own. It never changes.
    #[property(2)]
    pub about: Vec<u8>,
}

/// A model type of which everything is that stands in a scene: what all prefabs are made of.
///
/// Its children are components, each a model of its own, named by the ids of their properties. A
/// prefab uses those that it needs; a child that nothing is written to costs three bytes once. Who
/// owns the whole owns every component.
///
/// ```
/// use parlor::realtime::transform::Transform;
/// use parlor::realtime::view::{Actor, View};
/// use parlor::{Child, Model};
///
/// #[derive(Model, Clone, Debug, Default)]
/// struct Thing {
///     #[property(1)]
///     view: Child<View>,
///     #[property(2)]
///     transform: Child<Transform>,
///     #[property(3)]
///     health: Child<Health>,
/// }
///
/// #[derive(Model, Clone, Debug, Default)]
/// struct Health {
///     #[property(1)]
///     points: i64,
/// }
///
/// impl Actor for Thing {
///     fn view(&self) -> &Child<View> {
///         &self.view
///     }
///
///     fn transform(&self) -> Option<&Child<Transform>> {
///         Some(&self.transform)
///     }
/// }
/// ```
pub trait Actor: Model {
    /// Of what it is built.
    fn view(&self) -> &Child<View>;

    /// Where it is, if it is anywhere.
    fn transform(&self) -> Option<&Child<Transform>> {
        None
    }
}
