import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['**/node_modules/'] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'max-lines': ['error', 300],
      'max-lines-per-function': ['error', { max: 50, skipBlankLines: true, skipComments: true }],
      'no-alert': 'error',
      'no-console': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['widget/src/**/*.js', 'bitcache_server/static/**/*.js'],
    languageOptions: { globals: globals.browser },
  },
  {
    files: ['plugins/javascript/*.js'],
    // What Node.js, Deno, Bun and workers have in common.
    languageOptions: { globals: globals['shared-node-browser'] },
  },
  {
    files: ['plugins/wordpress/assets/*.js'],
    // WordPress' scripts are classic ones, and know each other by a global name.
    languageOptions: { sourceType: 'script', globals: { ...globals.browser, wp: 'readonly' } },
    rules: { 'max-lines': ['error', 350] },
  },
  {
    files: ['plugins/wordpress/assets/front.js'],
    languageOptions: { sourceType: 'module' },
  },
  {
    files: ['widget/tests/**/*.js', 'widget/eslint.config.js'],
    languageOptions: { globals: globals.node },
    rules: { 'max-lines-per-function': 'off' },
  },
];
