/** A sweep over models and cache types: what was measured, and its reports. */
package io.github.mla4j.eval.sweep;
