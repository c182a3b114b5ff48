// The parts of the task screens that need no browser, as one module for the tests.
export { Problem } from "../../src/api/client"
export { changesOf, draftOf, emptyDraft, fieldOf, inputOf } from "../../src/screens/tasks/draft"
export { each } from "../../src/screens/tasks/each"
export { moved } from "../../src/screens/tasks/move"
export { patternOf, ruleInWords, ruleOf } from "../../src/screens/tasks/rule"
export { understand } from "../../src/screens/tasks/understand"
export { de } from "../../src/text/de"
export { en } from "../../src/text/en"
