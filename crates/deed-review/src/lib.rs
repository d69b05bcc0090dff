//! What the records say about one action: chains, edges and explanations, pure functions of evidence
