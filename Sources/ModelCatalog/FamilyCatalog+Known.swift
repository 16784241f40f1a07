import AuraFlowFamily
import Checkpoints

extension FamilyCatalog {
  /// All families that can be run. Adding one takes its folder and a place in this list.
  package static let known = FamilyCatalog(AuraFlow.family)
}
