/** The main job: load a model, run sessions of it, stream tokens. */
package io.github.mla4j;
