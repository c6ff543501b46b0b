"""Tests of `sgtr open`: answers, copies, the server and the page in two browsers."""
